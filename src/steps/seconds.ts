import { Duration, Effect } from "effect"

/** The result of some work, and how long it took in seconds of wall clock. */
export const seconds = Effect.fnUntraced(function*<A, E, R>(work: Effect.Effect<A, E, R>) {
  const [duration, value] = yield* Effect.timed(work)
  return [value, Duration.toSeconds(duration)] as const
})
