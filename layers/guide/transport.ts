/**
 * What carries a question to a model and brings its answer back. An implementation makes one call, checks what comes
 * back, and tells every way to fail apart; it asks nothing again.
 */
import { type Effect, Schema } from "effect"
import type { Picture } from "../../src/domain.ts"
import { retryAfter, rootOf, wasUnsent } from "../../src/system/http-failure.ts"
import { type Hiding, oneLine } from "../../src/system/secrets.ts"
import type { RateHeaders, Use } from "./allowance.ts"
import { pictureTokens } from "./pictures.ts"
import { tokensAtMost } from "./prices.ts"

/** A piece of what the model is shown, in order. */
export type Part = { readonly text: string } | { readonly picture: Picture }

export interface Request {
  /** Of the question: hash of all that the answer depends on, 64 hex digits. */
  readonly id: string
  /**
   * Of the question and of how often it was answered in vain, 64 hex digits: sent as the Idempotency-Key, so that a server
   * that knows it charges once where an answer was lost, or its asker killed.
   */
  readonly once: string
  readonly model: string
  readonly system: string
  readonly parts: ReadonlyArray<Part>
  /** JSON schema of the answer: every key required, no other key. */
  readonly schema: Readonly<Record<string, unknown>>
  /** The longest answer that is waited for, tokens. */
  readonly maxTokens: number
  /** Enough money is set aside for an answer of any length: else a request that cannot be held to `maxTokens` is not sent. */
  readonly limitless?: boolean
}

export interface Reply {
  readonly text: string
  readonly use: Use
  readonly headers: RateHeaders
}

/** No answer now, but there may be one later: rate limit, overload, connection, deadline, a broken body. */
export class ModelBusy extends Schema.TaggedError<ModelBusy>()("ModelBusy", {
  message: Schema.String,
  /** `slow`: the server asked for less; `lost`: it may have worked, and charged, for nothing; `down`: it did not answer. */
  kind: Schema.Literals(["slow", "lost", "down"]),
  /** Seconds the server asked us to wait, 0 where it did not say. */
  retryAfter: Schema.Finite,
  headers: Schema.Unknown
}) {}

/** The model answered, was paid for, and did not give what was asked: a refusal, or an answer cut off. */
export class ModelUnusable extends Schema.TaggedError<ModelUnusable>()("ModelUnusable", {
  message: Schema.String,
  inputTokens: Schema.Finite,
  outputTokens: Schema.Finite,
  headers: Schema.Unknown
}) {}

/** This request cannot succeed: it is malformed, or too large. */
export class ModelRejected extends Schema.TaggedError<ModelRejected>()("ModelRejected", {
  message: Schema.String
}) {}

/** No request can succeed: the key is wrong, has no permission or no credit, or there is no such model. */
export class ModelStopped extends Schema.TaggedError<ModelStopped>()("ModelStopped", {
  message: Schema.String
}) {}

export type TransportError = ModelBusy | ModelUnusable | ModelRejected | ModelStopped

export interface Transport {
  /** Who is asked, for people: "the Claude API", or an address. */
  readonly where: string
  /** What an answer depends on beside the model's name: a server's address, a form. Part of identities. */
  readonly variant?: string
  /** More input tokens than one picture is ever counted as. Default: as Claude counts it. */
  readonly pictureTokensAtMost?: (picture: Picture) => number
  /** The server has refused to be told how long an answer may be. */
  readonly takesNoLimit?: () => boolean
  /** Hides its key in what is stored of an answer. */
  readonly hide?: Hiding
  /** Requests may wait for hours: the transport itself keeps the server's limits, and knows when to give it up. */
  readonly queued?: boolean
  readonly send: (request: Request) => Effect.Effect<Reply, TransportError>
}

/** Tokens of the longest answer of any model, where a server takes no limit. */
const limitlessTokens = 131_072

/** Tokens as a server counts them: one that counts what cannot be is not believed. */
export const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))

/** The most that a call may use: for what is set aside, and where a server does not say what it used. */
export const worstUse = (
  { limitless = false, maxTokens, parts, schema, system }: Request,
  pictureTokensAtMost: Transport["pictureTokensAtMost"] = pictureTokens
): Use => ({
  inputTokens: tokensAtMost(wordBytes({ parts, schema, system })) +
    parts.reduce((sum, part) => sum + ("text" in part ? 0 : pictureTokensAtMost(part.picture)), 0) + 500,
  outputTokens: limitless ? Math.max(maxTokens, limitlessTokens) : maxTokens
})

/** Length in UTF-8 of all that is said beside the pictures. */
export const wordBytes = ({ parts, schema, system }: Pick<Request, "parts" | "schema" | "system">): number =>
  Buffer.byteLength(system + JSON.stringify(schema) + parts.map((part) => ("text" in part ? part.text : "")).join(""), "utf8")

/** Limits and remaining amounts as the server tells them; absent where it does not. @param of header values by kind */
export const rateHeadersFrom = (
  headers: Headers,
  of: (kind: "requests" | "inputTokens" | "outputTokens") => readonly [limit: string, remaining: string] | undefined
): RateHeaders => {
  const read = (kind: Parameters<typeof of>[0]) => {
    const names = of(kind)
    if (names === undefined) return {}
    const [limit, remaining] = names.map((name) => headers.get(name))
    return limit == null || remaining == null || !(Number(limit) > 0) || !(Number(remaining) >= 0)
      ? {}
      : { [kind]: { limit: Number(limit), remaining: Number(remaining) } }
  }
  return { ...read("requests"), ...read("inputTokens"), ...read("outputTokens") }
}

/** How a failed call is put into words. */
export interface FailureWords {
  /** Who is asked. */
  readonly where: string
  readonly model: string
  /** Environment variables with the key and the address. */
  readonly key: string
  readonly address: string
  /** Of the key. */
  readonly hide: Hiding
  readonly rateHeaders: (headers: Headers) => RateHeaders
}

/** What a server said, for people: without the key, one line, not long. The key first, which a cut would leave a part of. */
export const shown = ({ hide }: Pick<FailureWords, "hide">, said: string): string => oneLine(hide.text(said))

/** @param saying by the server, as it came */
export const failureOf = (
  words: FailureWords,
  status: number,
  saying: string,
  headers: Headers | undefined
): TransportError => {
  const { address, key, model, where } = words
  const said = shown(words, saying)
  const Where = where[0]!.toUpperCase() + where.slice(1)
  switch (status) {
    case 401:
      return new ModelStopped({ message: `${Where} does not accept the key (${said}): check ${key}.` })
    case 402:
      return new ModelStopped({ message: `The account has no credit left at ${where} (${said}): add some, then resume the run.` })
    case 403:
      return new ModelStopped({ message: `The key has no permission for this at ${where} (${said}): use another ${key}.` })
    case 404:
      return new ModelStopped({ message: `${Where} knows no model "${model}" (${said}): check --judge-model and ${address}.` })
    case 429:
    case 529:
      return busy(words, "slow", `${where} asks for fewer requests (${status}: ${said})`, headers)
    case 408:
    case 409:
      return busy(words, "down", `${where} answered ${status} (${said})`, headers)
    default:
      return status >= 500
        ? busy(words, "down", `${where} answered ${status} (${said})`, headers)
        : new ModelRejected({ message: `${Where} refused the request (${status}: ${said})` })
  }
}

export const busy = ({ rateHeaders }: FailureWords, kind: ModelBusy["kind"], message: string, headers?: Headers) =>
  new ModelBusy({
    kind,
    message,
    retryAfter: retryAfter(headers),
    headers: headers === undefined ? {} : rateHeaders(headers)
  })

/** A request that never left cannot be charged; any other may have been. */
export const unreachable = (words: FailureWords, cause: unknown): ModelBusy =>
  busy(
    words,
    wasUnsent(cause) ? "down" : "lost",
    `${words.where} cannot be reached (${shown(words, rootOf(cause))}): check the network and ${words.address}`
  )

/** The answer began and did not end. */
export const brokenOff = (words: FailureWords, cause: unknown): ModelBusy =>
  busy(words, "lost", `${words.where} broke off its answer (${shown(words, rootOf(cause))})`)
