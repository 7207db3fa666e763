/**
 * Spans and metrics of Effect's own telemetry, by OTLP over HTTP, as OpenTelemetry's environment variables say. Effect
 * encodes them (its OTLP modules are marked unstable in 4.1.0); their requests wait in our queue, since Effect's exporter has
 * neither a bound nor a count of what it drops. Without an address they go to the usual one, http://localhost:4318.
 */
import { ConfigProvider, Context, Effect, Layer, Metric, Tracer } from "effect"
import { FetchHttpClient, HttpClient, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { OtlpExporter, OtlpMetrics, OtlpSerialization, OtlpTracer } from "effect/observability"
import { Tracker, untracked } from "../../src/stages/Tracker.ts"
import { BadInput } from "../../src/system/errors.ts"
import { codeOf } from "../../src/system/http-failure.ts"
import { atMost, longestAnswer } from "../../src/system/http-limits.ts"
import { bounded, TrackerFailed } from "./bounded.ts"

export interface OtlpOptions {
  readonly run: string
  /** The same for every process of a run. */
  readonly id: string
  /** Of the program. */
  readonly version: string
  readonly note: (line: string) => Effect.Effect<void>
}

/** What the environment need not say. */
const usual = ConfigProvider.fromEnvRecord({
  OTEL_SERVICE_NAME: "vequinox",
  OTEL_TRACES_EXPORTER: "otlp",
  OTEL_METRICS_EXPORTER: "otlp",
  OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318"
})

/** Headers may hold a key: they are sent to nobody else. */
const careful: typeof fetch = async (input, init) => atMost(await fetch(input, { ...init, redirect: "manual" }), longestAnswer)

const send = Effect.fnUntraced(function*(requests: ReadonlyArray<HttpClientRequest.HttpClientRequest>) {
  for (const request of requests) {
    const { status } = yield* HttpClient.execute(request).pipe(
      Effect.tap((response) => response.arrayBuffer),
      Effect.scoped,
      Effect.mapError((error) => new TrackerFailed({ reason: `its server cannot be reached: ${codeOf(error) || "the connection was lost"}`, passes: true }))
    )
    if (status >= 300) {
      return yield* new TrackerFailed({ reason: `its server answered ${status}`, passes: status >= 500 || status === 408 || status === 429 })
    }
  }
}, Effect.provide(FetchHttpClient.layer), Effect.provideService(FetchHttpClient.Fetch, careful), Effect.withTracerEnabled(false))

const serializations: Readonly<Record<string, Layer.Layer<OtlpSerialization.OtlpSerialization>>> = {
  "http/json": OtlpSerialization.layerJson,
  "http/protobuf": OtlpSerialization.layerProtobuf
}

/** Fails with `BadInput` if OpenTelemetry's variables cannot be read. */
export const layer = ({ id, note, run, version }: OtlpOptions) => Layer.effect(Tracker, Effect.gen(function*() {
  const { dropped, end, offer } = yield* bounded({ name: "otlp", capacity: 64, batch: 1, send, note })
  const waiting = HttpClient.make((request) =>
    Effect.as(offer(request), HttpClientResponse.fromWeb(request, new Response(null, { status: 200 })))
  )
  const serialization = serializations[process.env["OTEL_EXPORTER_OTLP_PROTOCOL"] ?? "http/protobuf"]
  if (serialization === undefined) {
    return yield* new BadInput({ message: `OTEL_EXPORTER_OTLP_PROTOCOL must be ${Object.keys(serializations).join(" or ")}: OTLP over gRPC is not here.` })
  }
  const provider = ConfigProvider.orElse(ConfigProvider.fromEnv(), usual)
  const resource = { serviceVersion: version, attributes: { "vequinox.run.name": run, "vequinox.run.id": id } }
  const telemetry = yield* Layer.build(
    Layer.mergeAll(OtlpTracer.layerFromConfig({ resource }), OtlpMetrics.layerFromConfig({ resource })).pipe(
      Layer.provide(serialization),
      Layer.provide(Layer.succeed(HttpClient.HttpClient, waiting)),
      Layer.provide(ConfigProvider.layer(provider))
    )
  ).pipe(Effect.catchCause(() => new BadInput({ message: "OpenTelemetry's variables (OTEL_...) cannot be read: see that each address is one, and each number a number." })))
  const { flush } = Context.get(telemetry, OtlpExporter.Flusher)
  const tracer = Context.get(telemetry, Tracer.Tracer)
  const gauges = new Map<string, Metric.Metric<number, Metric.GaugeState<number>>>()
  const gauge = (name: string) => {
    const known = gauges.get(name) ?? Metric.gauge(`vequinox.${name.replaceAll("/", ".")}`, { attributes: { run } })
    gauges.set(name, known)
    return known
  }
  return {
    ...untracked,
    step: ({ kind, metrics }) => kind === "again" ? Effect.void : Effect.forEach(Object.entries(metrics), ([name, value]) => Metric.update(gauge(name), value), { discard: true }),
    around: (work) => work.pipe(Effect.withSpan("vequinox.run", { root: true, attributes: { run, id } }), Effect.withTracer(tracer)),
    dropped,
    end: Effect.andThen(flush, end)
  }
}))
