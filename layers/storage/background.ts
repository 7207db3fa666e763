/**
 * Copies a run in the background while it goes on. One copy at a time; of the checkpoints that were committed meanwhile the
 * newest is copied. A copy that fails is tried again with growing pauses for as long as the run goes on.
 */
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Queue, Schedule } from "effect"
import type { RunFolder } from "../../src/run/folder.ts"
import { ObjectStore, StorageFailed } from "../../src/stages/ObjectStore.ts"
import { behindMetric, failedMetric, Storage } from "../../src/stages/Storage.ts"
import { bytes as inBytes, makeProgress, type ProgressStyle } from "../../src/system/progress.ts"
import { claim, copyRun } from "./copy-run.ts"

/** How long a run that ends is waited for. */
export interface Patience {
  /** Most seconds between two tries. */
  readonly longestPause: number
  /** Seconds of pauses after which a finished run gives up. */
  readonly atEnd: number
  /** The same for a run that was stopped: the whole of its stop has 4 s (src/system/interruption.ts). */
  readonly atStop: number
}
const usual: Patience = { longestPause: 60, atEnd: 600, atStop: 2 }

export interface BackgroundOptions {
  readonly run: RunFolder
  /** The run's id. */
  readonly id: string
  /** How the copy of the finished run, which is waited for, shows its progress. */
  readonly style: ProgressStyle
  /** Tells a person. */
  readonly note: (line: string) => Effect.Effect<void>
  readonly patience?: Patience | undefined
}

/**
 * Takes the prefix for the run, then copies. When the scope ends, what is under way has `atStop` seconds.
 *
 * Fails with `StorageFailed` if the prefix is not this run's or cannot be written.
 */
export const layer = ({ id, note, patience = usual, run, style }: BackgroundOptions) => Layer.effect(Storage, Effect.gen(function*() {
  const store = yield* ObjectStore
  const place = yield* claim(run, id)
  const wanted = yield* Queue.dropping<"copy">(1) // one that waits stands for all: a copy is of the folder as it is then
  const whole = yield* Deferred.make<void, StorageFailed>()
  const ending = yield* Deferred.make<void>()
  const resume = `vequinox train --resume ${run.path}`
  let behind = 0
  let failed = 0
  let away = false
  let busy = false
  let over = false

  const attempt = (finished: boolean) =>
    copyRun(place, finished).pipe(
      Effect.provideService(ObjectStore, store),
      Effect.catchTag("FileProblem", ({ message }) => Effect.fail(new StorageFailed({ message, passes: true })))
    )
  /** Until it is copied. Fails where another try would not help, or a finished run has waited long enough. */
  const copied = Effect.gen(function*() {
    let waits = 0
    for (let pause = 1;; pause = Math.min(2 * pause, patience.longestPause)) {
      const [finished, until] = [Deferred.isDoneUnsafe(ending), behind]
      const exit = yield* Effect.exit(attempt(finished))
      if (Exit.isSuccess(exit)) {
        behind -= until
        if (away) yield* note(`${store.address} holds the run again, up to step ${exit.value}.`)
        away = false
        if (finished) yield* Deferred.succeed(whole, undefined)
        return
      }
      if (Cause.hasInterrupts(exit.cause)) return yield* Effect.interrupt
      const error = Cause.squash(exit.cause)
      const told = error instanceof StorageFailed ? error : new StorageFailed({ message: `The run cannot be copied to ${store.address}, by a mistake of vequinox's own.`, passes: false })
      failed++
      if (!told.passes || waits >= patience.atEnd) return yield* told
      if (!away) yield* note(`${sentence(told)}: the run goes on, and is copied later.`)
      away = true
      if (finished) {
        waits += pause
        yield* Effect.sleep(`${pause} seconds`)
      } else yield* Effect.timeoutOption(Deferred.await(ending), `${pause} seconds`)
    }
  })
  const worker = yield* Effect.forever(Effect.gen(function*() {
    yield* Queue.take(wanted)
    busy = true
    yield* copied
    busy = false
  })).pipe(
    Effect.catchTag("StorageFailed", Effect.fnUntraced(function*(error) {
      over = true
      yield* Deferred.fail(whole, error)
      if (!Deferred.isDoneUnsafe(ending)) yield* note(`${sentence(error)}. Nothing more of the run is copied to ${store.address}.`)
    })),
    Effect.forkScoped
  )
  const isCopied = Effect.suspend(() => over || (behind === 0 && !busy) ? Effect.void : Effect.fail("not yet"))
  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      yield* isCopied.pipe(Effect.retry(Schedule.spaced("50 millis")), Effect.ignore, Effect.interruptible, Effect.timeoutOption(`${patience.atStop} seconds`))
      yield* Fiber.interrupt(worker)
      const lacks = behind > 0 ? "the newest checkpoint" : Deferred.isDoneUnsafe(ending) && !Deferred.isDoneUnsafe(whole) ? "all of the finished run" : undefined
      if (lacks !== undefined) yield* note(`${store.address} does not have ${lacks}: ${resume} sends it.`)
    })
  )
  const told = Effect.gen(function*() {
    yield* Effect.sleep("1 second")
    const progress = yield* makeProgress(style, inBytes, place.amounts.total)
    const tick = Effect.suspend(() => progress.tick(place.amounts.there, `at ${store.address}`))
    return yield* Effect.forever(Effect.andThen(tick, Effect.sleep("1 second"))).pipe(Effect.ensuring(progress.end))
  })
  return {
    committed: Effect.suspend(() => {
      behind++
      return Effect.asVoid(Queue.offer(wanted, "copy"))
    }),
    metrics: Effect.sync((): Readonly<Record<string, number>> => {
      const since = failed
      failed = 0
      return { ...(since === 0 ? {} : { [failedMetric]: since }), ...(behind === 0 ? {} : { [behindMetric]: behind }) }
    }),
    finished: Effect.gen(function*() {
      yield* Deferred.succeed(ending, undefined)
      yield* Queue.offer(wanted, "copy")
      yield* Effect.raceFirst(Deferred.await(whole), told)
      behind = 0
    }).pipe(Effect.mapError((error) =>
      new StorageFailed({ message: `The run is finished in ${run.path}, but its copy is not whole (${sentence(error)}): ${resume} sends the rest.`, passes: error.passes })))
  }
}))

/** To go on with. */
const sentence = ({ message }: StorageFailed): string => message.replace(/\.$/, "")
