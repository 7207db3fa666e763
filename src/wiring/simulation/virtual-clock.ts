/** A clock that stands still while anything works, and then jumps to the next instant that somebody waits for. */
import { Clock, Duration, Effect, Fiber } from "effect"

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

/** Turns of the event loop after which work without a sleep has come to its end. */
const turns = 3
const idle = async () => {
  for (let n = 0; n < turns; n++) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * Runs an effect on such a clock: its sleeps take no time, its order and its seconds are those of a clock on the wall. The effect
 * may wait for nothing but sleeps and its own fibers; one that does never ends.
 */
export const inVirtualTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    let now = 0
    const sleepers: Array<Sleeper> = []
    const nanos = () => BigInt(Math.round(now * 1e6))
    const clock: Clock.Clock = {
      currentTimeMillisUnsafe: () => now,
      currentTimeMillis: Effect.sync(() => now),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) =>
        Effect.callback<void>((resume) => {
          const sleeper = { until: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
          const place = sleepers.findLastIndex(({ until }) => until <= sleeper.until) + 1
          sleepers.splice(place, 0, sleeper)
          return Effect.sync(() => {
            const at = sleepers.indexOf(sleeper)
            if (at >= 0) sleepers.splice(at, 1)
          })
        })
    }
    const fiber = yield* Effect.forkChild(Effect.provideService(effect, Clock.Clock, clock))
    yield* Effect.promise(async () => {
      for (await idle(); fiber.pollUnsafe() === undefined; await idle()) {
        const next = sleepers.shift()
        if (next === undefined) continue
        now = next.until
        next.wake()
        // Who waits for the same instant wakes with it.
        while (sleepers[0]?.until === now) sleepers.shift()!.wake()
      }
    })
    return yield* Fiber.join(fiber)
  })
