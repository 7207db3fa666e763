import { Duration, Effect } from "effect"
import { type Box, Traffic } from "../stages/Traffic.ts"

/**
 * The result of a box's work, and how long it took in seconds of wall clock.
 * @param passes whether the next box gets something to do from it
 */
export const seconds = Effect.fnUntraced(function*<A, E, R>(box: Box, work: Effect.Effect<A, E, R>, passes = true) {
  const [duration, value] = yield* Effect.timed((yield* Traffic).under(box, work, passes))
  return [value, Duration.toSeconds(duration)] as const
})
