/**
 * Chat completions, as OpenAI, vLLM, llama.cpp and Ollama serve them: a deadline over headers and body, every answer
 * checked. Makes one POST with fetch instead of using the `openai` SDK. The SDK reads six more environment variables
 * and wants a key even for a local server that needs none; without these, its retries, logs and headers, only this POST
 * would be left.
 *
 * Servers differ in the settings that they take. A server that refuses `temperature`, `seed` or the name of the token
 * limit says so in a 400. From then on that setting is left out, and the refused call counts as not answered.
 */
import { Effect, Redacted, Schema } from "effect"
import type { Picture } from "../../src/domain.ts"
import { reasonIn } from "../../src/system/http-failure.ts"
import { atMost, longestAnswer } from "../../src/system/http-limits.ts"
import { hiding, oneLine } from "../../src/system/secrets.ts"
import type { Use } from "./allowance.ts"
import { pngOf, sentSize } from "./pictures.ts"
import { hashOf } from "./question.ts"
import {
  brokenOff,
  busy,
  Count,
  failureOf,
  type FailureWords,
  ModelStopped,
  ModelUnusable,
  rateHeadersFrom,
  type Reply,
  type Request,
  shown,
  type Transport,
  type TransportError,
  unreachable,
  worstUse
} from "./transport.ts"

/** With `json_schema` the server enforces the schema; with `json_object` and `plain` the schema is part of the words. */
const answerFormats = ["json_schema", "json_object", "plain"] as const
export type AnswerFormat = typeof answerFormats[number]

export interface OpenAIOptions {
  /** Absent for a server that needs none. */
  readonly apiKey?: Redacted.Redacted | undefined
  /** The address without `/chat/completions` at its end. Default: the public API. */
  readonly baseUrl?: URL | undefined
  /** Longest wait for the whole answer, seconds. Default 30. */
  readonly deadline?: number | undefined
  /** Default `json_schema`. */
  readonly format?: AnswerFormat | undefined
}

/** What an answer must contain before anything in it is believed. */
const Completion = Schema.Struct({
  choices: Schema.NonEmptyArray(Schema.Struct({
    finish_reason: Schema.NullOr(Schema.String),
    message: Schema.Struct({
      content: Schema.optionalKey(Schema.NullOr(Schema.String)),
      refusal: Schema.optionalKey(Schema.NullOr(Schema.String))
    })
  })),
  usage: Schema.optionalKey(Schema.NullOr(Schema.Struct({ prompt_tokens: Count, completion_tokens: Count })))
})
const decodeCompletion = Schema.decodeUnknownEffect(Schema.fromJsonString(Completion))

/** Tokens in and out share one limit here; the input, which is most of it, stands for both. */
const kinds = { requests: "requests", inputTokens: "tokens", outputTokens: undefined } as const
const rateHeaders = (headers: Headers) =>
  rateHeadersFrom(headers, (kind) =>
    kinds[kind] === undefined ? undefined : [`x-ratelimit-limit-${kinds[kind]}`, `x-ratelimit-remaining-${kinds[kind]}`])

const isText = (value: unknown): value is string => typeof value === "string" && value !== ""

/** The text of a server's error: in OpenAI's and Ollama's form, older vLLM's, FastAPI's, or as a line of text. */
const errorOf = (body: string): { readonly said: string; readonly brief: string; readonly param: string; readonly code: string } => {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch {
    json = undefined
  }
  const outer = (typeof json === "object" && json !== null ? json : {}) as Readonly<Record<string, unknown>>
  const error = (typeof outer["error"] === "object" && outer["error"] !== null ? outer["error"] : outer) as typeof outer
  const said = reasonIn(body) ?? body
  return {
    said,
    brief: oneLine(said), // only read by the program; what is shown contains no key
    param: isText(error["param"]) ? error["param"] : "",
    code: isText(error["code"]) ? error["code"] : ""
  }
}

/** Settings that can be left out, or sent under another name. */
type Optional = "temperature" | "seed" | "max_completion_tokens" | "max_tokens"

/** Which of the sent settings a 400 is about. */
const refusedSetting = ({ brief, param }: ReturnType<typeof errorOf>, sent: ReadonlyArray<Optional>): Optional | undefined =>
  sent.find((name) => param === name) ??
    (/support|unknown|unrecogni[sz]ed|unexpected|permitted|allowed|extra/i.test(brief)
      ? sent.find((name) => new RegExp(`\\b${name}\\b`).test(brief))
      : undefined)

const formatRefused = ({ brief, param }: ReturnType<typeof errorOf>): boolean =>
  param.startsWith("response_format") || /response_format|json_schema|structured output/i.test(brief)

/** The schema in words, for a server that does not enforce it. */
const inWords = ({ schema, system }: Request): string =>
  `${system}\n\nAnswer with one JSON object and nothing else. It must fit this JSON schema:\n${JSON.stringify(schema)}`

/** The object in an answer that may also contain thoughts before it, or words and a fence around it. */
const objectIn = (text: string): string => {
  const answer = text.replace(/^\s*<think>[\s\S]*?<\/think>/, "")
  return answer.slice(Math.max(0, answer.indexOf("{")), answer.lastIndexOf("}") + 1)
}

const responseFormat = (format: AnswerFormat, { schema }: Request) =>
  format === "json_schema"
    ? { response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } } }
    : format === "json_object"
    ? { response_format: { type: "json_object" } }
    : {}

/**
 * An upper bound of the tokens a picture counts as: gpt-4o-mini's 2833, and 5667 for every 512 pixels square, are the
 * most of any known model.
 */
const pictureTokensAtMost = (picture: Picture): number => {
  const { height, width } = sentSize(picture)
  return 2833 + 5667 * Math.ceil(width / 512) * Math.ceil(height / 512)
}

const publicApi = new URL("https://api.openai.com/v1")
export const isPublicApi = (baseUrl: URL): boolean => baseUrl.hostname === publicApi.hostname

export const makeOpenAI = (o: OpenAIOptions): Transport => {
  const { apiKey, baseUrl = publicApi, deadline = 30, format = "json_schema" } = o
  const url = new URL(baseUrl)
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`
  const hide = hiding(apiKey)
  // Without the query, which may hold secrets.
  const address = hide.text(baseUrl.origin + baseUrl.pathname.replace(/\/+$/, ""))
  const where = isPublicApi(baseUrl) ? "the OpenAI API" : `the model server at ${address}`
  const key = apiKey === undefined ? undefined : Redacted.value(apiKey)
  const refused = new Set<Optional>()
  // The public API refuses the old name for its newer models, and local servers may know only the old one.
  const limitNames: ReadonlyArray<Optional> = isPublicApi(baseUrl)
    ? ["max_completion_tokens", "max_tokens"]
    : ["max_tokens", "max_completion_tokens"]

  const takesNoLimit = () => limitNames.every((name) => refused.has(name))

  /** Read before each call: settings refused meanwhile are left out. */
  const optional = ({ maxTokens }: Request): Partial<Record<Optional, number>> => {
    const limitName = limitNames.find((name) => !refused.has(name))
    return {
      ...(limitName === undefined ? {} : { [limitName]: maxTokens }),
      ...(refused.has("temperature") ? {} : { temperature: 0 }),
      ...(refused.has("seed") ? {} : { seed: 0 })
    }
  }
  const bodyOf = (request: Request) => ({
    model: request.model,
    messages: [
      { role: "system", content: format === "json_schema" ? request.system : inWords(request) },
      {
        role: "user",
        content: request.parts.map((part) =>
          "text" in part
            ? { type: "text", text: part.text }
            : { type: "image_url", image_url: { url: `data:image/png;base64,${pngOf(part.picture)}` } }
        )
      }
    ],
    ...responseFormat(format, request)
  })

  const failed = (words: FailureWords, { body, headers, status }: Answered, sent: ReadonlyArray<Optional>): TransportError => {
    const error = errorOf(body)
    const { said } = error
    if (status === 429 && error.code === "insufficient_quota") return failureOf(words, 402, said, headers)
    if (status !== 400 && status !== 422) return failureOf(words, status, said, headers)
    const setting = refusedSetting(error, sent)
    if (setting !== undefined) {
      refused.add(setting)
      return busy(words, "otherwise", `${where} takes no ${setting} (${shown(words, said)}), so it is asked without`)
    }
    return format !== "plain" && formatRefused(error)
      ? new ModelStopped({
        message: `${where[0]!.toUpperCase()}${where.slice(1)} holds no answer to a form (${shown(words, said)}): try --judge-format ${
          format === "json_schema" ? "json_object or plain" : "plain"
        }.`
      })
      : failureOf(words, status, said, headers)
  }

  const send = Effect.fnUntraced(function*(request: Request) {
    const words: FailureWords = { where, model: request.model, key: "OPENAI_API_KEY", address: "OPENAI_BASE_URL", hide, rateHeaders }
    const settings = optional(request)
    if (takesNoLimit() && !request.limitless) {
      return yield* busy(words, "otherwise", `${where} takes no limit on the length of an answer, so more money must be set aside for it`)
    }
    const response = yield* Effect.tryPromise({
      try: (signal) =>
        fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json", "idempotency-key": hashOf([request.once, settings]), ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
          body: JSON.stringify({ ...bodyOf(request), ...settings }),
          redirect: "error", // the key must go nowhere else
          signal
        }),
      catch: (cause) => unreachable(words, cause)
    }).pipe(
      Effect.flatMap((response) =>
        Effect.tryPromise({
          try: async (): Promise<Answered> => ({ status: response.status, headers: response.headers, body: await atMost(response, longestAnswer).text() }),
          catch: (cause) => brokenOff(words, cause)
        })
      ),
      Effect.timeoutOrElse({
        duration: deadline * 1000,
        orElse: () => Effect.fail(busy(words, "lost", `${where} gave no whole answer within ${deadline} s (--judge-timeout)`))
      })
    )
    if (response.status !== 200) return yield* failed(words, response, Object.keys(settings) as Array<Optional>)
    const { choices: [choice], usage } = yield* decodeCompletion(response.body).pipe(
      Effect.mapError(() => busy(words, "lost", `${where} answered with something that is not a completion`, response.headers))
    )
    const limits = rateHeaders(response.headers)
    const use: Use = usage == null
      ? worstUse({ ...request, limitless: takesNoLimit() }, pictureTokensAtMost)
      : { inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens }
    const { finish_reason: finish, message } = choice
    if (isText(message.refusal) || finish === "content_filter") {
      return yield* new ModelUnusable({ message: `${request.model} refused to judge this`, ...use, headers: limits })
    }
    if (finish !== "stop") {
      return yield* new ModelUnusable({
        message: finish === "length"
          ? `${request.model}'s answer was cut off at ${request.maxTokens} tokens; a model that thinks first may need that turned off`
          : `${request.model}'s answer was cut off (${shown(words, String(finish))})`,
        ...use,
        headers: limits
      })
    }
    const text = message.content ?? ""
    return { text: format === "json_schema" ? text : objectIn(text), use, headers: limits } satisfies Reply as Reply
  })
  return { where, variant: `${address} ${format}`, hide, pictureTokensAtMost, takesNoLimit, send }
}

interface Answered {
  readonly status: number
  readonly headers: Headers
  /** The whole body, as text. */
  readonly body: string
}
