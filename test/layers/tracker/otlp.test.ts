import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import * as otlp from "../../../layers/tracker/otlp.ts"
import { Tracker } from "../../../src/stages/Tracker.ts"
import { trackedStep } from "../../stages/Tracker.contract.ts"
import { collector } from "../../support/tracker-servers.ts"

const settings = (env: Readonly<Record<string, string>>) => {
  for (const name of Object.keys(process.env)) if (name.startsWith("OTEL_")) delete process.env[name]
  Object.assign(process.env, env)
}
const key = "an-ingest-key-0123456789"

describe("otlp", () => {
  it.live("sends the run's spans under one root, its numbers as gauges, and whatever else the program counts", () =>
    Effect.gen(function*() {
      const { close, gauges, headers, resource, spans, url } = yield* Effect.promise(collector)
      settings({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${key}` })
      const judge = Effect.fn("Judge.compare")(() => Effect.succeed("A"))
      yield* Effect.gen(function*() {
        const tracker = yield* Tracker
        yield* tracker.around(Effect.withSpan(judge(), "pipeline.judge"))
        yield* Metric.update(Metric.gauge("my_own_gauge"), 7)
        yield* tracker.step(trackedStep(3))
        yield* tracker.end
      }).pipe(Effect.provide(otlp.layer({ run: "first", id: "r1", version: "1.2.3", note: () => Effect.void })))

      assert.deepStrictEqual(spans.map(({ name }) => name), ["Judge.compare", "pipeline.judge", "vequinox.run"])
      assert.strictEqual(new Set(spans.map(({ traceId }) => traceId)).size, 1)
      assert.strictEqual(spans[0]!.parentSpanId, spans[1]!.spanId)
      assert.strictEqual(spans[1]!.parentSpanId, spans[2]!.spanId)
      assert.isUndefined(spans[2]!.parentSpanId)
      assert.strictEqual(gauges.get("vequinox.loss"), 0.125)
      assert.strictEqual(gauges.get("vequinox.rewards.margins"), 2.75)
      assert.strictEqual(gauges.get("my_own_gauge"), 7)
      const attributes = Object.fromEntries(resource().map(({ key, value }) => [key, Object.values(value)[0]]))
      assert.deepInclude(attributes, { "service.name": "vequinox", "service.version": "1.2.3", "vequinox.run.name": "first", "vequinox.run.id": "r1" })
      assert.isTrue(headers.every((own) => own["x-api-key"] === key))
      yield* Effect.promise(close)
    }))

  it.live("refuses variables that cannot be read, in one sentence without their values", () =>
    Effect.gen(function*() {
      settings({ OTEL_EXPORTER_OTLP_ENDPOINT: key })
      const error = yield* Effect.flip(Effect.scoped(Effect.asVoid(Effect.provide(Tracker, otlp.layer({ run: "first", id: "r1", version: "0", note: () => Effect.void })))))
      assert.match(error.message, /OTEL_/)
      assert.notInclude(error.message, key)
      settings({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" })
      const grpc = yield* Effect.flip(Effect.scoped(Effect.asVoid(Effect.provide(Tracker, otlp.layer({ run: "first", id: "r1", version: "0", note: () => Effect.void })))))
      assert.match(grpc.message, /^OTEL_EXPORTER_OTLP_PROTOCOL must be http\/json or http\/protobuf/)
    }))
})
