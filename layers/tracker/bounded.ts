/**
 * What every tracker stands on: a bounded queue and one worker that sends from it. A full queue drops the newest items;
 * each sending has a deadline; a failure that may pass is tried again, with growing pauses, while the queue fills.
 */
import { Cause, Deferred, Effect, Exit, Fiber, Queue, Schema } from "effect"
import { droppedMetric, type Tracking } from "../../src/stages/Tracker.ts"

/** A tracker did not take what it was sent. The reason is a part of a sentence and holds nobody else's words. */
export class TrackerFailed extends Schema.TaggedError<TrackerFailed>()("TrackerFailed", {
  reason: Schema.String,
  /** Whether the same may work later. */
  passes: Schema.Boolean
}) {}

/** Longest wait for a tracker at the end of a run, seconds; several trackers end together. */
export const closing = 5

/** The same where the run was interrupted: the whole of its stop has 4 s (src/system/interruption.ts). */
export const hasty = 1

/** Most seconds between two tries. */
const longestPause = 30

export interface BoundedOptions<A> {
  readonly name: string
  /** Most items that wait; as many as one sending takes are under way beside them. */
  readonly capacity: number
  /** Most items of one sending. */
  readonly batch: number
  /** Longest sending, seconds. Default 10. */
  readonly deadline?: number | undefined
  readonly send: (items: ReadonlyArray<A>) => Effect.Effect<void, TrackerFailed>
  /** Tells a person. */
  readonly note: (line: string) => Effect.Effect<void>
}

export interface Bounded<A> extends Pick<Tracking, "dropped" | "end"> {
  /** Nothing is taken any more once `end` was called. */
  readonly offer: (item: A) => Effect.Effect<void>
}

/** The worker ends with the scope, which waits for it as `end` does, but for `hasty` seconds only. */
export const bounded = Effect.fnUntraced(function*<A>({ batch, capacity, deadline = 10, name, note, send }: BoundedOptions<A>) {
  const queue = yield* Queue.dropping<A, Cause.Done>(capacity)
  const ending = yield* Deferred.make<void>()
  let underWay = 0
  let lost = 0
  let told = 0
  let failed = false

  const tell = Effect.fnUntraced(function*(reason: string) {
    if (failed) return
    failed = true
    yield* note(`${name} takes nothing at the moment (${reason}): the run goes on without it.`)
  })
  const attempt = (items: ReadonlyArray<A>) =>
    Effect.suspend(() => send(items)).pipe(Effect.timeoutOrElse({
      duration: `${deadline} seconds`,
      orElse: () => Effect.fail(new TrackerFailed({ reason: `no answer in ${deadline} s`, passes: true }))
    }))
  const deliver = Effect.fnUntraced(function*(items: ReadonlyArray<A>) {
    for (let pause = 1;; pause = Math.min(2 * pause, longestPause)) {
      const exit = yield* Effect.exit(attempt(items))
      if (Exit.isSuccess(exit)) {
        failed = false
        return
      }
      const error = Cause.squash(exit.cause)
      const { passes, reason } = error instanceof TrackerFailed ? error : { reason: "a mistake of vequinox's own", passes: false }
      yield* tell(reason)
      if (!passes || Deferred.isDoneUnsafe(ending)) {
        lost += items.length
        return
      }
      yield* Effect.timeoutOption(Deferred.await(ending), `${pause} seconds`)
    }
  })
  const worker = yield* Effect.forever(Effect.gen(function*() {
    const items = yield* Queue.takeBetween(queue, 1, batch)
    underWay = items.length
    yield* deliver(items)
    underWay = 0
  })).pipe(Effect.ignoreCause, Effect.forkScoped)

  const endWithin = Effect.fnUntraced(function*(seconds: number) {
    if (!(yield* Deferred.succeed(ending, undefined))) return
    yield* Queue.end(queue)
    const done = yield* Fiber.await(worker).pipe(Effect.interruptible, Effect.timeoutOption(`${seconds} seconds`))
    if (done._tag === "None") {
      lost += underWay + Queue.sizeUnsafe(queue)
      yield* Effect.forkDetach(Fiber.interrupt(worker)) // a call of the system cannot be stopped, so nobody waits for it
    }
    if (lost > 0) yield* note(`${name} was not told everything: see ${droppedMetric(name)} in the run's numbers.`)
  })
  yield* Effect.addFinalizer(() => endWithin(hasty))

  return {
    offer: (item) =>
      Effect.sync(() => {
        if (!Deferred.isDoneUnsafe(ending) && !Queue.offerUnsafe(queue, item)) lost++
      }),
    dropped: Effect.sync((): Readonly<Record<string, number>> => {
      const since = lost - told
      told = lost
      return since === 0 ? {} : { [name]: since }
    }),
    end: endWithin(closing)
  } satisfies Bounded<A> as Bounded<A>
})
