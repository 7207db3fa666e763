/**
 * The HTTP API of `vequinox serve`: what OpenAI's clients send and read, vLLM's additions for sampling and adapters, Eval
 * Protocol's rollouts, requirements of drawings, health and metrics. Fields that a client may send and that change nothing here
 * are ignored; those that would change the answer and cannot be honoured are refused by name (request.ts).
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { EvalProtocol } from "./eval-protocol/api.ts"
import { between, optional, whole } from "./fields.ts"
import { Guarded, Readable } from "./guard.ts"
import { errors } from "./refusals.ts"
import { Requirements } from "./requirements/api.ts"

/** Completions of one request. */
export const mostCompletions = 128
export const mostStops = 16
export const mostStopLength = 256

const sampling = {
  model: optional(Schema.String),
  /** Completions of each prompt. */
  n: optional(whole(1, mostCompletions)),
  /** 0 is greedy. */
  temperature: optional(between(0, 2)),
  top_p: optional(between(0, 1)),
  /** vLLM's: 0 and -1 keep all. */
  top_k: optional(whole(-1, 1_000_000)),
  min_p: optional(between(0, 1)),
  repetition_penalty: optional(between(0.01, 10)),
  /** Same seed, same answer. */
  seed: optional(Schema.Int),
  max_tokens: optional(whole(1, 1_000_000)),
  stop: optional(Schema.Union([
    Schema.String.check(Schema.isMaxLength(mostStopLength)),
    Schema.Array(Schema.String.check(Schema.isMaxLength(mostStopLength))).check(Schema.isMaxLength(mostStops))
  ])),
  include_stop_str_in_output: optional(Schema.Boolean),
  stream: optional(Schema.Boolean),
  stream_options: optional(Schema.Struct({ include_usage: optional(Schema.Boolean) })),
  /** Not 0: refused. */
  frequency_penalty: optional(Schema.Finite),
  presence_penalty: optional(Schema.Finite),
  /** Not empty: refused. */
  logit_bias: optional(Schema.Record(Schema.String, Schema.Finite))
}

const Part = Schema.Struct({ type: Schema.String, text: Schema.optional(Schema.String) })

export const Message = Schema.Struct({
  role: Schema.Literals(["system", "developer", "user", "assistant"]),
  /** Of parts, those of text are read; a part of another type is refused. */
  content: Schema.NullOr(Schema.Union([Schema.String, Schema.Array(Part)]))
})

export const ChatRequest = Schema.Struct({
  ...sampling,
  /** If the last one is the assistant's, its text is continued. */
  messages: Schema.Array(Message).check(Schema.isMinLength(1), Schema.isMaxLength(1000)),
  max_completion_tokens: optional(whole(1, 1_000_000)),
  logprobs: optional(Schema.Boolean),
  top_logprobs: optional(whole(0, 20)),
  /** Other than text: refused. */
  response_format: optional(Schema.Struct({ type: Schema.String })),
  /** Not empty: refused. */
  tools: optional(Schema.Array(Schema.Unknown))
}).annotate({ identifier: "ChatCompletionRequest" })
export type ChatRequest = typeof ChatRequest.Type

export const CompletionRequest = Schema.Struct({
  ...sampling,
  /** Texts, or tokens, that are continued as they are. */
  prompt: Schema.Union([
    Schema.String,
    Schema.Array(Schema.String).check(Schema.isMinLength(1), Schema.isMaxLength(mostCompletions)),
    Schema.Array(Schema.Int).check(Schema.isMinLength(1)),
    Schema.Array(Schema.Array(Schema.Int).check(Schema.isMinLength(1))).check(Schema.isMinLength(1), Schema.isMaxLength(mostCompletions))
  ]),
  /** How many of the likeliest tokens are told at each place. */
  logprobs: optional(whole(0, 20)),
  /** Whether the prompt comes first in the answer. */
  echo: optional(Schema.Boolean),
  /** vLLM's: whether the tokens of prompt and answer are told. */
  return_token_ids: optional(Schema.Boolean),
  /** Whether log-probabilities are also told under what each token was drawn from; with `logprobs` alone. */
  return_processed_logprobs: optional(Schema.Boolean),
  /**
   * Keys of the completions' random numbers, in place of those that `seed` gives: one for each completion, those of the first
   * prompt first. A training run draws under such keys.
   */
  seeds: optional(Schema.Array(Schema.Int).check(Schema.isMaxLength(mostCompletions * mostCompletions))),
  /** Not empty: refused. */
  suffix: optional(Schema.String)
}).annotate({ identifier: "CompletionRequest" })
export type CompletionRequest = typeof CompletionRequest.Type

const FinishReason = Schema.NullOr(Schema.Literals(["stop", "length"]))
const TokenLogprob = Schema.Struct({ token: Schema.String, logprob: Schema.Finite, bytes: Schema.NullOr(Schema.Array(Schema.Int)) })
export const ChatLogprobs = Schema.Struct({
  /** Log p of each token under the model itself, at temperature 1 and without filters, nats. */
  content: Schema.Array(Schema.Struct({ ...TokenLogprob.fields, top_logprobs: Schema.Array(TokenLogprob) }))
})
export const TextLogprobs = Schema.Struct({
  tokens: Schema.Array(Schema.String),
  token_logprobs: Schema.Array(Schema.Finite),
  /** Under what each was drawn from: temperature and filters applied. */
  processed_logprobs: Schema.optionalKey(Schema.Array(Schema.Finite)),
  top_logprobs: Schema.Array(Schema.Record(Schema.String, Schema.Finite)),
  text_offset: Schema.Array(Schema.Int)
})
export const Usage = Schema.Struct({ prompt_tokens: Schema.Int, completion_tokens: Schema.Int, total_tokens: Schema.Int })

const answer = <const O extends string>(object: O) => ({
  id: Schema.String,
  object: Schema.Literal(object),
  /** Seconds since 1970. */
  created: Schema.Int,
  model: Schema.String
})

export const ChatCompletion = Schema.Struct({
  ...answer("chat.completion"),
  choices: Schema.Array(Schema.Struct({
    index: Schema.Int,
    message: Schema.Struct({ role: Schema.Literal("assistant"), content: Schema.String, refusal: Schema.Null }),
    logprobs: Schema.NullOr(ChatLogprobs),
    finish_reason: FinishReason
  })),
  usage: Usage
}).annotate({ identifier: "ChatCompletion" })

export const ChatChunk = Schema.Struct({
  ...answer("chat.completion.chunk"),
  choices: Schema.Array(Schema.Struct({
    index: Schema.Int,
    delta: Schema.Struct({ role: Schema.optionalKey(Schema.Literal("assistant")), content: Schema.optionalKey(Schema.String) }),
    logprobs: Schema.NullOr(ChatLogprobs),
    finish_reason: FinishReason
  })),
  usage: Schema.optionalKey(Schema.NullOr(Usage))
}).annotate({ identifier: "ChatCompletionChunk" })

const textChoices = Schema.Array(Schema.Struct({
  index: Schema.Int,
  text: Schema.String,
  logprobs: Schema.NullOr(TextLogprobs),
  finish_reason: FinishReason,
  prompt_token_ids: Schema.optionalKey(Schema.Array(Schema.Int)),
  token_ids: Schema.optionalKey(Schema.Array(Schema.Int))
}))
export const TextCompletion = Schema.Struct({ ...answer("text_completion"), choices: textChoices, usage: Usage })
  .annotate({ identifier: "Completion" })
export const TextChunk = Schema.Struct({
  ...answer("text_completion"),
  choices: textChoices,
  usage: Schema.optionalKey(Schema.NullOr(Usage))
}).annotate({ identifier: "CompletionChunk" })

const ModelCard = Schema.Struct({
  ...answer("model"),
  model: Schema.optionalKey(Schema.Never),
  owned_by: Schema.String,
  /** What an adapter is put on; null for the base. */
  parent: Schema.NullOr(Schema.String),
  /** Most tokens of prompt and completion together. */
  max_model_len: Schema.Int
}).annotate({ identifier: "Model" })
export const Models = Schema.Struct({ object: Schema.Literal("list"), data: Schema.Array(ModelCard) })

export const LoadAdapter = Schema.Struct({
  lora_name: Schema.String.check(Schema.isPattern(/^[\w.-]{1,128}$/)),
  /** A PEFT folder in the server's folder of adapters, by its path from there. */
  lora_path: Schema.String.check(Schema.isMaxLength(1024)),
  /** Takes the place of a loaded one of that name. */
  load_inplace: optional(Schema.Boolean)
})
export const UnloadAdapter = Schema.Struct({ lora_name: Schema.String.check(Schema.isMaxLength(256)) })

class OpenAi extends HttpApiGroup.make("openai").add(
  HttpApiEndpoint.get("models", "/v1/models", { success: Models, error: errors }),
  HttpApiEndpoint.get("model", "/v1/models/:model", { params: { model: Schema.String }, success: ModelCard, error: errors }),
  HttpApiEndpoint.post("chat", "/v1/chat/completions", {
    payload: ChatRequest,
    success: [ChatCompletion, HttpApiSchema.StreamSse({ data: ChatChunk })],
    error: errors
  }),
  HttpApiEndpoint.post("completions", "/v1/completions", {
    payload: CompletionRequest,
    success: [TextCompletion, HttpApiSchema.StreamSse({ data: TextChunk })],
    error: errors
  })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "OpenAI's API, with vLLM's additions") {}

class Adapters extends HttpApiGroup.make("adapters").add(
  HttpApiEndpoint.post("load", "/v1/load_lora_adapter", {
    payload: LoadAdapter,
    success: Schema.String.pipe(HttpApiSchema.asText()),
    error: errors
  }),
  HttpApiEndpoint.post("unload", "/v1/unload_lora_adapter", {
    payload: UnloadAdapter,
    success: Schema.String.pipe(HttpApiSchema.asText()),
    error: errors
  })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "vLLM's endpoints for adapters") {}

class Watching extends HttpApiGroup.make("watching", { topLevel: true }).add(
  HttpApiEndpoint.get("metrics", "/metrics", {
    success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/plain; version=0.0.4" })),
    error: errors
  })
).middleware(Guarded) {}

/** Answers everybody: whether the process is up. */
class Health extends HttpApiGroup.make("health", { topLevel: true }).add(
  HttpApiEndpoint.get("health", "/health", { success: HttpApiSchema.Empty(200) })
) {}

export class Api extends HttpApi.make("vequinox").add(OpenAi, Adapters, EvalProtocol, Requirements, Watching, Health).annotateMerge(
  OpenApi.annotations({ title: "vequinox serve", description: "A policy and its adapters, as OpenAI's and Eval Protocol's clients ask for them." })
) {}
