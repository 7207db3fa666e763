/**
 * Carries a question to a model and brings its answer back. An implementation makes one call, checks the answer, and
 * tells all kinds of failure apart; it never asks again.
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
  /** Hash of everything the answer depends on, 64 hex digits. */
  readonly id: string
  /**
   * Hash of the question and of how many unusable answers it got, 64 hex digits. It is sent as the Idempotency-Key, so
   * that a server that knows this header charges once if an answer was lost or the process was killed.
   */
  readonly once: string
  readonly model: string
  readonly system: string
  readonly parts: ReadonlyArray<Part>
  /** JSON schema of the answer: every key required, no other key. */
  readonly schema: Readonly<Record<string, unknown>>
  /** Tokens of the longest answer, and of what the model thinks before it. */
  readonly maxTokens: number
  /**
   * Enough money is set aside for an answer of any length. Otherwise a request that cannot be held to `maxTokens` is
   * not sent.
   */
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
  /**
   * `slow`: the server asked for fewer calls; `lost`: the server may have worked, and charged, but the answer did not
   * arrive; `down`: it did not answer; `otherwise`: it answered that it must be asked in another way, and will be.
   */
  kind: Schema.Literals(["slow", "lost", "down", "otherwise"]),
  /** Seconds the server asked us to wait, 0 if it did not say. */
  retryAfter: Schema.Finite,
  headers: Schema.Unknown
}) {}

/** The model answered and was paid, but did not give what was asked: a refusal, or an answer cut off. */
export class ModelUnusable extends Schema.TaggedError<ModelUnusable>()("ModelUnusable", {
  message: Schema.String,
  inputTokens: Schema.Finite,
  outputTokens: Schema.Finite,
  headers: Schema.Unknown,
  /** Asked again, it would end the same. Default false. */
  final: Schema.optionalKey(Schema.Boolean)
}) {}

/** This request cannot succeed: it is malformed, or too large. */
export class ModelRejected extends Schema.TaggedError<ModelRejected>()("ModelRejected", {
  message: Schema.String
}) {}

/** No request can succeed: the key is wrong, has no permission or no credit, or the model does not exist. */
export class ModelStopped extends Schema.TaggedError<ModelStopped>()("ModelStopped", {
  message: Schema.String
}) {}

export type TransportError = ModelBusy | ModelUnusable | ModelRejected | ModelStopped

export interface Transport {
  /** The model's place, for people: "the Claude API", or an address. */
  readonly where: string
  /** What an answer depends on besides the model's name: a server's address, a form. Part of identities. */
  readonly variant?: string
  /** An upper bound of the input tokens of a picture. Default: as Claude counts it. */
  readonly pictureTokensAtMost?: (picture: Picture) => number
  /** The most tokens that the model thinks before it answers, paid as output. Default: none. */
  readonly thinkingTokens?: (model: string) => number
  /** Whether the server has refused a limit on the length of an answer. */
  readonly takesNoLimit?: () => boolean
  /** Hides its key in the stored parts of an answer. */
  readonly hide?: Hiding
  /** Requests may wait for hours: the transport itself keeps the server's limits, and decides when to give up on it. */
  readonly queued?: boolean
  readonly send: (request: Request) => Effect.Effect<Reply, TransportError>
}

/** Tokens of the longest answer of any model, for a server that takes no limit. */
const limitlessTokens = 131_072

/** Tokens as a server counts them; impossible counts are refused. */
export const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))

/** The most that a call may use: for what is set aside, and for a server that does not say what it used. */
export const worstUse = (
  { limitless = false, maxTokens, parts, schema, system }: Request,
  pictureTokensAtMost: Transport["pictureTokensAtMost"] = pictureTokens
): Use => ({
  inputTokens: tokensAtMost(wordBytes({ parts, schema, system })) +
    parts.reduce((sum, part) => sum + ("text" in part ? 0 : pictureTokensAtMost(part.picture)), 0) + 500,
  outputTokens: limitless ? Math.max(maxTokens, limitlessTokens) : maxTokens
})

/** Length in UTF-8 of everything said besides the pictures. */
export const wordBytes = ({ parts, schema, system }: Pick<Request, "parts" | "schema" | "system">): number =>
  Buffer.byteLength(system + JSON.stringify(schema) + parts.map((part) => ("text" in part ? part.text : "")).join(""), "utf8")

/**
 * Limits and remaining amounts as the server gives them; absent if it does not.
 * @param of header values by kind
 */
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

/** Words for describing a failed call. */
export interface FailureWords {
  /** The model's place, for people. */
  readonly where: string
  readonly model: string
  /** Environment variables with the key and the address. */
  readonly key: string
  readonly address: string
  /** Hides the key. */
  readonly hide: Hiding
  readonly rateHeaders: (headers: Headers) => RateHeaders
}

/**
 * What a server said, for people: without the key, on one line, shortened. The key is removed first: cutting first
 * could leave a part of it.
 */
export const shown = ({ hide }: Pick<FailureWords, "hide">, said: string): string => oneLine(hide.text(said))

/** @param saying the server's words, unchanged */
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
