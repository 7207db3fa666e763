/** Cores that work shares: with more work than cores, all of it slows down alike. */
import { Clock, Deferred, Effect } from "effect"

export interface Cores {
  /** Takes as long as so many seconds of one core do, beside what else is under way. */
  readonly work: (seconds: number) => Effect.Effect<void>
}

/** A core for each. */
export const unshared: Cores = { work: (seconds) => Effect.sleep(1000 * seconds) }

/** @param count > 0 */
export const makeCores = (count: number): Cores => {
  let working = 0
  let changed = Deferred.makeUnsafe<void>()
  const change = (by: number) =>
    Effect.sync(() => {
      working += by
      Deferred.doneUnsafe(changed, Effect.void)
      changed = Deferred.makeUnsafe<void>()
    })
  const work = Effect.fnUntraced(function*(seconds: number) {
    let left = 1000 * seconds
    while (left > 1e-6) {
      const speed = Math.min(1, count / working)
      const begun = yield* Clock.currentTimeMillis
      yield* Effect.raceFirst(Effect.sleep(left / speed), Deferred.await(changed))
      left -= speed * ((yield* Clock.currentTimeMillis) - begun)
    }
  })
  return { work: (seconds) => Effect.acquireUseRelease(change(1), () => work(seconds), () => change(-1)) }
}
