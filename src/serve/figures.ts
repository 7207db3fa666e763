/** What `/metrics` tells, in Prometheus' text format. */
import { Clock, Effect, Exit, Metric } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { type CompletionRequest, Completions, type Piece } from "../stages/Completions.ts"

const prompts = Metric.counter("vequinox_prompt_tokens_total", { description: "Tokens of prompts", incremental: true })
const drawn = Metric.counter("vequinox_generation_tokens_total", { description: "Tokens drawn", incremental: true })
const ended = Metric.counter("vequinox_completions_total", { description: "Completions that have ended, by why", incremental: true })
const requests = Metric.counter("vequinox_requests_total", { description: "Requests that were answered, by endpoint and outcome", incremental: true })
const seconds = Metric.histogram("vequinox_request_seconds", {
  description: "Seconds from a request to the end of its answer",
  boundaries: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
})
const open = Metric.gauge("vequinox_completions_open", { description: "Completions that are decoded or wait for a place" })
const most = Metric.gauge("vequinox_completions_most", { description: "Most of them; more are refused" })

/** @param started milliseconds since 1970 */
const answered = (endpoint: string, started: number, outcome: string) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.andThen(
      Metric.update(Metric.withAttributes(requests, { endpoint, outcome }), 1),
      Metric.update(Metric.withAttributes(seconds, { endpoint }), (now - started) / 1000)
    ))

export const figures = {
  began: (requests: ReadonlyArray<CompletionRequest>) => Metric.update(prompts, requests.reduce((sum, { ids }) => sum + ids.length, 0)),
  gained: ({ finish, ids }: Piece) =>
    Effect.andThen(
      Metric.update(drawn, ids.length),
      finish === undefined ? Effect.void : Metric.update(Metric.withAttributes(ended, { reason: finish }), 1)
    ),
  /** Counts a request and its time when its answer has ended, a stream's too. */
  counted: (endpoint: string) =>
    Effect.flatMap(Clock.currentTimeMillis, (started) =>
      Effect.addFinalizer((exit) =>
        answered(endpoint, started, Exit.isSuccess(exit) ? "answered" : Exit.hasInterrupts(exit) ? "left" : "refused")
      )),
  text: Effect.gen(function*() {
    const now = yield* Effect.flatMap(Completions, ({ figures }) => figures)
    yield* Metric.update(open, now.open)
    yield* Metric.update(most, now.most)
    return yield* PrometheusMetrics.format()
  })
}
