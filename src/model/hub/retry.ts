/** Asks the Hub again. */
import { Duration, Effect, Schedule } from "effect"
import { duration as inWords } from "../../system/progress.ts"
import { HubBusy } from "./errors.ts"

/** 0.5 s, 1 s, 2 s ... at most 10 s, jittered; 5 times. */
const backoff = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("10 seconds")]).pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 5 })
)

/**
 * Asks again if the Hub was busy or a connection was lost, and never before the Hub allows.
 *
 * @param patient also if there was no connection: worth it once something was fetched
 */
export const withHubRetry = (note: (line: string) => Effect.Effect<void>, patient: boolean) => <A, E, R>(ask: Effect.Effect<A, E, R>) =>
  Effect.retry(
    ask,
    backoff.pipe(
      Schedule.setInputType<E>(),
      Schedule.while(({ input }) => input instanceof HubBusy && (patient || input.reached)),
      Schedule.modifyDelay(({ duration, input }) => {
        if (!(input instanceof HubBusy)) return Effect.succeed(duration)
        const wait = Duration.max(duration, Duration.seconds(input.retryAfter))
        return Effect.as(note(`${input.message}; again in ${inWords(Math.ceil(Duration.toSeconds(wait)))}.`), wait)
      })
    )
  )
