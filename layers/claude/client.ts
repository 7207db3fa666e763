/**
 * One call of the Messages API: the SDK without its retries, a deadline over headers and body, every answer checked, and
 * every way to fail told apart. Nothing is asked again here.
 */
import Anthropic, { APIConnectionError, APIError } from "@anthropic-ai/sdk"
import { Effect, Redacted, Schema } from "effect"
import type { RateHeaders, Use } from "./allowance.ts"

/** No answer now, but there may be one later: rate limit, overload, connection, deadline, a broken body. */
export class ClaudeBusy extends Schema.TaggedError<ClaudeBusy>()("ClaudeBusy", {
  message: Schema.String,
  /** `slow`: the server asked for less; `lost`: it may have worked, and charged, for nothing; `down`: it did not answer. */
  kind: Schema.Literals(["slow", "lost", "down"]),
  /** Seconds the server asked us to wait, 0 where it did not say. */
  retryAfter: Schema.Finite,
  headers: Schema.Unknown
}) {}

/** The model answered, was paid for, and did not give what was asked: a refusal, or an answer cut off. */
export class ClaudeUnusable extends Schema.TaggedError<ClaudeUnusable>()("ClaudeUnusable", {
  message: Schema.String,
  inputTokens: Schema.Finite,
  outputTokens: Schema.Finite,
  headers: Schema.Unknown
}) {}

/** This request cannot succeed: it is malformed, too large, or names a model that does not exist. */
export class ClaudeRejected extends Schema.TaggedError<ClaudeRejected>()("ClaudeRejected", {
  message: Schema.String
}) {}

/** No request can succeed: the key is wrong, has no permission, or has no credit. */
export class ClaudeStopped extends Schema.TaggedError<ClaudeStopped>()("ClaudeStopped", {
  message: Schema.String
}) {}

export type ClaudeError = ClaudeBusy | ClaudeUnusable | ClaudeRejected | ClaudeStopped

export interface ClientOptions {
  readonly apiKey: Redacted.Redacted
  /** Default: the public API. */
  readonly baseUrl?: string | undefined
  /** Seconds until the whole answer must be there. */
  readonly deadline: number
}

export interface Reply {
  readonly text: string
  readonly use: Use
  readonly headers: RateHeaders
}

/** What an answer must hold before anything in it is believed. */
const Message = Schema.Struct({
  type: Schema.Literal("message"),
  stop_reason: Schema.NullOr(Schema.String),
  content: Schema.Array(Schema.Struct({ type: Schema.String, text: Schema.optionalKey(Schema.String) })),
  usage: Schema.Struct({
    input_tokens: Schema.Finite,
    output_tokens: Schema.Finite,
    cache_creation_input_tokens: Schema.optionalKey(Schema.NullOr(Schema.Finite)),
    cache_read_input_tokens: Schema.optionalKey(Schema.NullOr(Schema.Finite))
  })
})
const decodeMessage = Schema.decodeUnknownEffect(Message)

/** Headers that leave the process beside the key: the SDK would add whatever ANTHROPIC_CUSTOM_HEADERS holds. */
const sent = /^(anthropic-version|anthropic-beta|content-type|accept|user-agent|x-stainless-.*)$/i

const rateHeaders = (headers: Headers): RateHeaders => {
  const of = (name: string) => {
    const [limit, remaining] = ["limit", "remaining"].map((part) => headers.get(`anthropic-ratelimit-${name}-${part}`))
    return limit == null || remaining == null || !(Number(limit) > 0) || !(Number(remaining) >= 0)
      ? undefined
      : { limit: Number(limit), remaining: Number(remaining) }
  }
  const [requests, inputTokens, outputTokens] = [of("requests"), of("input-tokens"), of("output-tokens")]
  return {
    ...(requests && { requests }),
    ...(inputTokens && { inputTokens }),
    ...(outputTokens && { outputTokens })
  }
}

/** Seconds; `retry-after` may also be a date. A wait that makes no sense counts as none, one over an hour as an hour. */
const retryAfter = (headers: Headers | undefined): number => {
  const ms = headers?.get("retry-after-ms")
  const value = headers?.get("retry-after")
  const seconds = ms != null
    ? Number(ms) / 1000
    : value == null
    ? 0
    : /^[-\d.]+$/.test(value)
    ? Number(value)
    : (Date.parse(value) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.min(3600, Math.max(0, seconds)) : 0
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().slice(0, 200)

const messageOf = (error: APIError): string => {
  const body = error.error as { readonly error?: { readonly message?: unknown } } | undefined
  return oneLine(typeof body?.error?.message === "string" ? body.error.message : error.message)
}

const busy = (kind: ClaudeBusy["kind"], message: string, headers?: Headers) =>
  new ClaudeBusy({
    kind,
    message,
    retryAfter: retryAfter(headers),
    headers: headers === undefined ? {} : rateHeaders(headers)
  })

const failure = (cause: unknown, where: string, model: string): ClaudeError => {
  if (cause instanceof APIConnectionError) {
    // A request that never left cannot be charged; any other may have been.
    return busy(unsent.has(codeOf(cause)) ? "down" : "lost", `${where} cannot be reached (${oneLine(rootOf(cause))}): check the network and ANTHROPIC_BASE_URL`)
  }
  if (!(cause instanceof APIError)) return busy("lost", `${where} broke off its answer (${oneLine(rootOf(cause))})`)
  const said = messageOf(cause)
  switch (cause.status) {
    case 401:
      return new ClaudeStopped({ message: `The Claude API does not accept the key (${said}): check ANTHROPIC_API_KEY.` })
    case 402:
      return new ClaudeStopped({ message: `The Claude account has no credit left (${said}): add some, then resume the run.` })
    case 403:
      return new ClaudeStopped({ message: `The key has no permission for this (${said}): use another ANTHROPIC_API_KEY.` })
    case 404:
      return new ClaudeStopped({ message: `The Claude API knows no model "${model}" (${said}): check --judge-model.` })
    case 429:
    case 529:
      return busy("slow", `${where} asks for fewer requests (${cause.status}: ${said})`, cause.headers)
    case 408:
    case 409:
      return busy("down", `${where} answered ${cause.status} (${said})`, cause.headers)
    default:
      return Number(cause.status) >= 500
        ? busy("down", `${where} answered ${cause.status} (${said})`, cause.headers)
        : new ClaudeRejected({ message: `The Claude API refused the request (${cause.status}: ${said})` })
  }
}

const unsent: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH"])
const codeOf = (cause: unknown): string => {
  const error = cause as { readonly code?: unknown; readonly cause?: unknown }
  return typeof error.code === "string" ? error.code : error.cause === undefined ? "" : codeOf(error.cause)
}

const rootOf = (cause: unknown): string => {
  const error = cause as { readonly message?: string; readonly cause?: unknown }
  return error.cause instanceof Error ? rootOf(error.cause) : String(error.message ?? cause)
}

/** The key is read here alone; no other credential of the environment is. */
export const makeClient = (o: ClientOptions) => {
  const where = o.baseUrl ?? "the Claude API"
  const client = new Anthropic({
    apiKey: Redacted.value(o.apiKey),
    authToken: null,
    webhookKey: null,
    baseURL: o.baseUrl ?? "https://api.anthropic.com",
    maxRetries: 0,
    logLevel: "off",
    fetch: (url, init) => {
      const headers = new Headers(init?.headers)
      for (const name of Array.from(headers.keys())) if (!sent.test(name)) headers.delete(name)
      headers.set("authorization", `Bearer ${Redacted.value(o.apiKey)}`) // as the SDK does, before those custom headers
      return fetch(url, { ...init, headers, redirect: "error" })
    }
  })

  const send = Effect.fnUntraced(function*(params: Anthropic.MessageCreateParamsNonStreaming) {
    const { data, response } = yield* Effect.tryPromise({
      try: (signal) => client.messages.create(params, { signal }).withResponse(),
      catch: (cause) => failure(cause, where, params.model)
    }).pipe(
      // The SDK's own timeout ends with the headers; this one also ends a body that stalls.
      Effect.timeoutOrElse({
        duration: o.deadline * 1000,
        orElse: () => Effect.fail(busy("lost", `${where} gave no whole answer within ${o.deadline} s`))
      })
    )
    const headers = rateHeaders(response.headers)
    const message = yield* decodeMessage(data).pipe(
      Effect.mapError(() =>
        new ClaudeBusy({ kind: "lost", message: `${where} answered with something that is no message`, retryAfter: 0, headers })
      )
    )
    const { cache_creation_input_tokens, cache_read_input_tokens, input_tokens, output_tokens } = message.usage
    const use: Use = {
      inputTokens: input_tokens + (cache_creation_input_tokens ?? 0) + (cache_read_input_tokens ?? 0),
      outputTokens: output_tokens
    }
    if (message.stop_reason !== "end_turn" && message.stop_reason !== "stop_sequence") {
      return yield* new ClaudeUnusable({
        message: message.stop_reason === "refusal"
          ? "Claude refused to judge this pair"
          : `Claude's answer was cut off (${message.stop_reason})`,
        ...use,
        headers
      })
    }
    const text = message.content.map((block) => (block.type === "text" ? block.text ?? "" : "")).join("")
    return { text, use, headers } satisfies Reply as Reply
  })
  return { send }
}
