/** Cores that work shares: with more work than cores, all of it slows down alike. */
import { Clock, Deferred, Effect, FiberHandle, type Scope } from "effect"

export interface Cores {
  /** Takes as long as so many seconds of one core do, beside what else is under way. */
  readonly work: (seconds: number) => Effect.Effect<void>
}

/** A core for each. */
export const unshared: Cores = { work: (seconds) => Effect.sleep(1000 * seconds) }

interface Task {
  /** What each core task will have had, as of `had` below, when this one is done. */
  readonly until: number
  readonly done: Deferred.Deferred<void>
}

/** @param count > 0 */
export const makeCores = Effect.fnUntraced(function*(count: number): Effect.fn.Return<Cores, never, Scope.Scope> {
  const tasks = new Set<Task>()
  /** Milliseconds of a core that a task would have had that was there from the beginning. */
  let had = 0
  let at = 0
  const alarm = yield* FiberHandle.make()
  const settle = Effect.map(Clock.currentTimeMillis, (now) => {
    had += (now - at) * Math.min(1, count / tasks.size)
    at = now
  })
  /** Ends what is done, and comes again when the next one is. */
  const next: Effect.Effect<void> = Effect.suspend(() => {
    for (const task of tasks) {
      if (task.until > had + 1e-6) continue
      tasks.delete(task)
      Deferred.doneUnsafe(task.done, Effect.void)
    }
    const first = Math.min(...[...tasks].map(({ until }) => until))
    if (tasks.size === 0) return Effect.void
    const wait = (first - had) / Math.min(1, count / tasks.size)
    return Effect.asVoid(FiberHandle.run(alarm, Effect.sleep(wait).pipe(Effect.andThen(settle), Effect.andThen(Effect.uninterruptible(next)))))
  })
  const change = (how: () => void) => Effect.uninterruptible(settle.pipe(Effect.andThen(Effect.sync(how)), Effect.andThen(next)))
  const work = (seconds: number) =>
    Effect.suspend(() => {
      const done = Deferred.makeUnsafe<void>()
      let task: Task | undefined
      return Effect.acquireUseRelease(
        change(() => tasks.add(task = { until: had + 1000 * seconds, done })),
        () => Deferred.await(done),
        () => (tasks.has(task!) ? change(() => tasks.delete(task!)) : Effect.void)
      )
    })
  return { work }
})
