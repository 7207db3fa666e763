import { Duration, Effect } from "effect"

/** What some work came to, and how long it took, seconds of wall clock. */
export const seconds = Effect.fnUntraced(function*<A, E, R>(work: Effect.Effect<A, E, R>) {
  const [duration, value] = yield* Effect.timed(work)
  return [value, Duration.toSeconds(duration)] as const
})
