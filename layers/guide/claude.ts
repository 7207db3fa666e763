/** The Messages API: the SDK without its retries, a deadline over headers and body, every answer checked. */
import type { Anthropic, APIError } from "@anthropic-ai/sdk"
import { Effect, Option, Redacted, Schema } from "effect"
import { atMost, longestAnswer } from "../../src/system/http-limits.ts"
import { hiding } from "../../src/system/secrets.ts"
import type { Use } from "./allowance.ts"
import { claudeModel } from "./claude-models.ts"
import { pngOf } from "./pictures.ts"
import {
  brokenOff,
  busy,
  Count,
  failureOf,
  type FailureWords,
  ModelUnusable,
  rateHeadersFrom,
  type Reply,
  type Request,
  shown,
  type Transport,
  type TransportError,
  unreachable
} from "./transport.ts"

export interface ClaudeOptions {
  readonly apiKey: Redacted.Redacted
  /** Default: the public API. */
  readonly baseUrl?: string | undefined
  /** Longest wait for the whole answer, seconds. Default 30. */
  readonly deadline?: number | undefined
}

/** What an answer must contain before anything in it is believed. */
const Message = Schema.Struct({
  type: Schema.Literal("message"),
  stop_reason: Schema.NullOr(Schema.String),
  content: Schema.Array(Schema.Struct({ type: Schema.String, text: Schema.optionalKey(Schema.String) })),
  usage: Schema.Struct({
    input_tokens: Count,
    output_tokens: Count,
    cache_creation_input_tokens: Schema.optionalKey(Schema.NullOr(Count)),
    cache_read_input_tokens: Schema.optionalKey(Schema.NullOr(Count))
  })
})
const decodeMessage = Schema.decodeUnknownEffect(Message)

const kinds = { requests: "requests", inputTokens: "input-tokens", outputTokens: "output-tokens" } as const
const rateHeaders = (headers: Headers) =>
  rateHeadersFrom(headers, (kind) => [`anthropic-ratelimit-${kinds[kind]}-limit`, `anthropic-ratelimit-${kinds[kind]}-remaining`])

/** What the server said, unchanged. */
const messageOf = (error: APIError): string => {
  const body = error.error as { readonly error?: { readonly message?: unknown } } | undefined
  return typeof body?.error?.message === "string" ? body.error.message : error.message
}

/** Headers that may leave the process besides the key: the SDK would add everything in ANTHROPIC_CUSTOM_HEADERS. */
const sent = /^(anthropic-version|anthropic-beta|content-type|accept|user-agent|idempotency-key|x-stainless-.*)$/i

/** A batch's results, which are read line by line under limits of their own. */
const isResults = (url: unknown): boolean => /\/batches\/[\w-]+\/results$/.test(String(url))

/**
 * The SDK, with the key from here and no other credential from the environment, and its errors as ours. It is loaded
 * only here: it has as many modules as Effect, and a command that does not ask Claude need not wait for them.
 */
export const openSdk = ({ apiKey, baseUrl }: ClaudeOptions) =>
  Effect.promise(async () => {
    const { APIConnectionError, APIError, default: Anthropic } = await import("@anthropic-ai/sdk")
    return {
      client: new Anthropic({
        apiKey: Redacted.value(apiKey),
        authToken: null,
        webhookKey: null,
        baseURL: baseUrl ?? "https://api.anthropic.com",
        maxRetries: 0,
        logLevel: "off",
        fetch: async (url, init) => {
          const headers = new Headers(init?.headers)
          for (const name of Array.from(headers.keys())) if (!sent.test(name)) headers.delete(name)
          headers.set("authorization", `Bearer ${Redacted.value(apiKey)}`) // as the SDK does before it adds custom headers
          const response = await fetch(url, { ...init, headers, redirect: "error" })
          return isResults(url) ? response : atMost(response, longestAnswer)
        }
      }),
      failure: (words: FailureWords, cause: unknown): TransportError =>
        cause instanceof APIConnectionError
          ? unreachable(words, cause)
          : cause instanceof APIError
          ? failureOf(words, Number(cause.status), messageOf(cause), cause.headers)
          : brokenOff(words, cause),
      /** What the server said when it answered that there is no such thing; undefined if it failed otherwise. */
      notThere: (cause: unknown): string | undefined =>
        cause instanceof APIError && Number(cause.status) === 404 ? messageOf(cause) : undefined
    }
  })

export const thinkingTokens = (model: string): number => claudeModel(model).thinking.most

/** A request in the API's form, as the model takes it. */
export const messageParams = ({ maxTokens, model, parts, schema, system }: Request): Anthropic.MessageCreateParamsNonStreaming => {
  const { effort, temperature } = claudeModel(model)
  return {
    model,
    max_tokens: maxTokens,
    system,
    messages: [{
      role: "user",
      content: parts.map((part) =>
        "text" in part
          ? { type: "text", text: part.text }
          : { type: "image", source: { type: "base64", media_type: "image/png", data: pngOf(part.picture) } }
      )
    }],
    ...(temperature ? { temperature: 0 } : {}),
    output_config: { format: { type: "json_schema", schema }, ...(effort === undefined ? {} : { effort }) }
  }
}

/** Whether it is a plain word, as an answer's field names are; for use where no form says which they are. */
const isPlainWord = (word: string): boolean => /^[a-zA-Z_]{1,19}$/.test(word)

/**
 * The parts of a message that are read, safe to store; null if it is not a message.
 * @param data what the API sent as a message
 */
export const withoutKey = ({ hide }: FailureWords, data: unknown): typeof Message.Type | null => {
  const message = Option.getOrNull(Schema.decodeUnknownOption(Message)(data))
  return message && {
    ...message,
    stop_reason: message.stop_reason && hide.text(message.stop_reason),
    content: message.content.map((block) => ({
      type: hide.text(block.type),
      ...(block.text === undefined ? {} : { text: hide.json(block.text, isPlainWord) })
    }))
  }
}

/**
 * The answer in a message, checked.
 * @param data what the API sent as a message
 */
export const replyOf = Effect.fnUntraced(function*(words: FailureWords, data: unknown, headers: Headers) {
  const limits = rateHeaders(headers)
  const message = yield* decodeMessage(data).pipe(
    Effect.mapError(() => busy(words, "lost", `${words.where} answered with something that is not a message`, headers))
  )
  const { cache_creation_input_tokens, cache_read_input_tokens, input_tokens, output_tokens } = message.usage
  const use: Use = {
    inputTokens: input_tokens + (cache_creation_input_tokens ?? 0) + (cache_read_input_tokens ?? 0),
    outputTokens: output_tokens
  }
  const unusable = (message: string, final = false) => new ModelUnusable({ message, ...use, headers: limits, final })
  switch (message.stop_reason) {
    case "end_turn":
    case "stop_sequence":
      break
    case "refusal":
      return yield* unusable("Claude refused to judge this")
    case "model_context_window_exceeded":
      return yield* unusable("Claude cannot judge this: question and answer do not fit the model's context window", true)
    default:
      return yield* unusable(`Claude's answer was cut off (${shown(words, String(message.stop_reason))})`)
  }
  const text = message.content.map((block) => (block.type === "text" ? block.text ?? "" : "")).join("")
  return { text, use, headers: limits } satisfies Reply as Reply
})

export const claudeWords = ({ apiKey, baseUrl }: ClaudeOptions, model: string): FailureWords => {
  const hide = hiding(apiKey)
  return {
    where: baseUrl === undefined ? "the Claude API" : `the Claude API at ${hide.text(placeOf(baseUrl))}`,
    model,
    key: "ANTHROPIC_API_KEY",
    address: "ANTHROPIC_BASE_URL",
    hide,
    rateHeaders
  }
}

/** The address without private parts: user name, password, query. */
const placeOf = (baseUrl: string): string => {
  const url = URL.parse(baseUrl)
  return url === null || (url.username === "" && url.password === "" && url.search === "" && url.hash === "")
    ? baseUrl
    : url.origin + url.pathname
}

export const makeClaude = (o: ClaudeOptions): Transport => {
  let opened: Effect.Success<ReturnType<typeof openSdk>> | undefined
  const { deadline = 30 } = o
  const send = Effect.fnUntraced(function*(request: Request) {
    const words = claudeWords(o, request.model)
    const { client, failure } = opened ??= yield* openSdk(o)
    const { data, response } = yield* Effect.tryPromise({
      try: (signal) => client.messages.create(messageParams(request), { signal, headers: { "idempotency-key": request.once } }).withResponse(),
      catch: (cause) => failure(words, cause)
    }).pipe(
      // The SDK's own timeout covers only the headers; this one also ends a body that stalls.
      Effect.timeoutOrElse({
        duration: deadline * 1000,
        orElse: () => Effect.fail(busy(words, "lost", `${words.where} gave no whole answer within ${deadline} s`))
      })
    )
    return yield* replyOf(words, data, response.headers)
  })
  const { hide, where } = claudeWords(o, "")
  return { where, hide, thinkingTokens, send }
}
