/**
 * What Eval Protocol's clients send to a remote rollout server and to a tracing gateway, and read from them: this server is
 * both. From the source of its Python package, 0.3.33: `pytest/remote_rollout_processor.py`, `adapters/fireworks_tracing.py`.
 * Fields and parameters that are not named here are ignored.
 */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { optional } from "../fields.ts"
import { Guarded, KeyInBody, Readable } from "../guard.ts"
import { errors } from "../refusals.ts"

/** Characters of an id. */
const mostOfAnId = 512
const Id = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(mostOfAnId))

export const Metadata = Schema.Struct({ invocation_id: Id, experiment_id: Id, rollout_id: Id, run_id: Id, row_id: Id })
export type Metadata = typeof Metadata.Type

export const RolloutMessage = Schema.Struct({
  role: Schema.String,
  /** Of parts, those of text are read. A part of another type, such as a picture, fails the rollout: see its status. */
  content: optional(Schema.Union([Schema.String, Schema.Array(Schema.Struct({ type: Schema.String, text: Schema.optionalKey(Schema.String) }))])),
  name: optional(Schema.String)
})
export type RolloutMessage = typeof RolloutMessage.Type

export const InitRequest = Schema.Struct({
  /** Fields of a chat completion's request but its messages; those of `extra_body` among them. */
  completion_params: optional(Schema.Record(Schema.String, Schema.Unknown)),
  messages: optional(Schema.Array(RolloutMessage).check(Schema.isMaxLength(1000))),
  /** Not empty: the rollout fails. */
  tools: optional(Schema.Array(Schema.Unknown)),
  metadata: Metadata,
  /** Not read: the model is this server's own. */
  model_base_url: Schema.optional(Schema.Unknown),
  /** The server's key, if it has one: the client has no other place for it. */
  api_key: optional(Schema.RedactedFromValue(Schema.String))
}).annotate({ identifier: "RolloutInit" })
export type InitRequest = typeof InitRequest.Type

const JsonObject = Schema.Record(Schema.String, Schema.Json)

export const Accepted = Schema.Struct({ status: Schema.Literal("accepted"), rollout_id: Schema.String, message: Schema.String })

export const Status = Schema.Struct({
  /** 101 while it is under way, 100 once it is finished, else gRPC's code of what went wrong. */
  code: Schema.Int,
  message: Schema.String,
  details: Schema.Array(JsonObject)
}).annotate({ identifier: "RolloutStatus" })
export type Status = typeof Status.Type

export const StatusAnswer = Schema.Struct({ rollout_id: Schema.String, status: Status, extras: JsonObject })

const Tags = Schema.Union([Schema.Array(Schema.String), Schema.String])
/** Rows of an answer. */
export const mostRows = 1000
const Limit = Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: mostRows }))

export const LogsQuery = {
  /** As `rollout_id:...`; a row has all of them. At least one. */
  tags: Schema.optional(Tags),
  /** Default: 100. */
  limit: Schema.optional(Limit)
}
export const Logs = Schema.Struct({
  entries: Schema.Array(Schema.Struct({
    timestamp: Schema.String,
    message: Schema.String,
    severity: Schema.Literals(["INFO", "ERROR"]),
    tags: Schema.Array(Schema.String),
    status: Status,
    extras: JsonObject
  }))
})
export type LogEntry = (typeof Logs.Type)["entries"][number]

export const TracesQuery = {
  ...LogsQuery,
  /** In place of that tag. */
  rollout_id: Schema.optional(Schema.String),
  /** Whether log-probabilities and the prompt's tokens are told: true or 1, in capitals or not. */
  include_payloads: Schema.optional(Schema.String)
}

/** What a tracing gateway calls a payload: base64 of zstd. */
const Payload = Schema.Struct({ manifest: JsonObject, data: Schema.String })
export const Payloads = Schema.Struct({
  /** Token and log p of each token drawn, nats, float32: the format lp/v1. */
  logprobs: Schema.optionalKey(Payload),
  /** Tokens of the prompt, prefill included: the format pti/v1. */
  prompt_token_ids: Schema.optionalKey(Payload)
})

const Input = Schema.Struct({ messages: Schema.Array(RolloutMessage) })
const Output = Schema.Struct({ role: Schema.Literal("assistant"), content: Schema.String })

const of = { project_id: Schema.String, total_traces: Schema.Int }
export const PointwiseTraces = Schema.Struct({
  ...of,
  traces: Schema.Array(Schema.Struct({
    id: Schema.String,
    name: Schema.String,
    timestamp: Schema.String,
    tags: Schema.Array(Schema.String),
    input: Input,
    output: Output,
    observations: Schema.Array(JsonObject),
    payloads: Schema.optionalKey(Payloads)
  }))
})
export const FlatTraces = Schema.Struct({
  ...of,
  traces: Schema.Array(Schema.Struct({
    InsertionId: Schema.String,
    Timestamp: Schema.String,
    Tags: Schema.Array(Schema.String),
    Input,
    Output,
    payloads: Schema.optionalKey(Payloads)
  }))
})

const statusQuery = { rollout_id: Id }

export class EvalProtocol extends HttpApiGroup.make("evalProtocol").add(
  HttpApiEndpoint.post("init", "/init", { payload: InitRequest, success: Accepted, error: errors }).annotate(KeyInBody, "api_key"),
  HttpApiEndpoint.get("status", "/v1/status", { query: statusQuery, success: StatusAnswer, error: errors }),
  HttpApiEndpoint.get("statusOfOld", "/status", { query: statusQuery, success: StatusAnswer, error: errors }),
  HttpApiEndpoint.get("logs", "/logs", { query: LogsQuery, success: Logs, error: errors }),
  HttpApiEndpoint.get("logsOfOld", "/v1/logs", { query: LogsQuery, success: Logs, error: errors }),
  HttpApiEndpoint.get("pointwise", "/v1/traces/pointwise", { query: TracesQuery, success: PointwiseTraces, error: errors }),
  HttpApiEndpoint.get("traces", "/v1/traces", { query: TracesQuery, success: FlatTraces, error: errors })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "Eval Protocol's remote rollouts, and their traces") {}
