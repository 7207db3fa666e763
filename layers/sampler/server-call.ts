/**
 * One call to a sampling server, and every way in which it can fail, told apart by what is to be done about it. It never asks
 * again: that is the fleet's (fleet.ts).
 */
import { Effect, Redacted, Schema } from "effect"
import { reasonIn, retryAfter, rootOf } from "../../src/system/http-failure.ts"
import { atMost } from "../../src/system/http-limits.ts"
import { hiding, oneLine } from "../../src/system/secrets.ts"

/** It asks for fewer requests, or for later ones: 429, 503. Worth asking again, here or elsewhere. */
export class ServerBusy extends Schema.TaggedError<ServerBusy>()("ServerBusy", {
  message: Schema.String,
  /** Seconds that it asked us to wait, 0 if it did not say. */
  retryAfter: Schema.Finite
}) {}

/** It was not reached, broke off, took longer than allowed, or failed. Worth asking another, and this one later. */
export class ServerDown extends Schema.TaggedError<ServerDown>()("ServerDown", { message: Schema.String }) {}

/** It knows no such adapter, or answered as another model: it was restarted, or dropped it. Worth loading it again. */
export class AdapterLost extends Schema.TaggedError<AdapterLost>()("AdapterLost", { message: Schema.String }) {}

/** Its answer cannot be used: cut off, in another form, or not about what was asked. */
export class AnswerUnusable extends Schema.TaggedError<AnswerUnusable>()("AnswerUnusable", { message: Schema.String }) {}

/** Asked again, it would refuse again: its settings or ours must change. The message says which. */
export class ServerRefused extends Schema.TaggedError<ServerRefused>()("ServerRefused", { message: Schema.String }) {}

export type CallError = ServerBusy | ServerDown | AdapterLost | AnswerUnusable | ServerRefused

export interface Answered {
  readonly status: number
  /** The whole body. */
  readonly body: string
  readonly retryAfter: number
}

/** Most bytes of an answer: 128 candidates of 4096 tokens, each with its number, text and log-probabilities. */
const longest = 64_000_000

export interface Caller {
  /** The server, for people. */
  readonly where: string
  /** Seconds. */
  readonly timeout: number
  /** POST with a body, else GET. Any status is an answer. */
  readonly call: (path: string, body?: unknown) => Effect.Effect<Answered, ServerDown>
  /** A server's words on one line, without the key. */
  readonly shown: (said: string) => string
}

/**
 * @param url the server's address, with or without `/v1`
 * @param timeout longest wait for a whole answer, seconds
 * @param key sent to this server and nowhere else
 */
export const makeCaller = (url: string, timeout: number, key: Redacted.Redacted | undefined): Caller => {
  const root = url.replace(/\/+$/, "").replace(/\/v1$/, "")
  const hide = hiding(key)
  const where = `the sampling server at ${hide.text(root)}`
  const shown = (said: string) => oneLine(hide.text(said))
  const down = (why: string, cause: unknown) => new ServerDown({ message: `${where} ${why} (${shown(rootOf(cause))})` })
  const headers = { "content-type": "application/json", ...(key === undefined ? {} : { authorization: `Bearer ${Redacted.value(key)}` }) }
  const call = (path: string, body?: unknown): Effect.Effect<Answered, ServerDown> =>
    Effect.tryPromise({
      try: (signal) =>
        fetch(`${root}${path}`, {
          ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
          headers,
          redirect: "error", // the key must go nowhere else
          signal
        }),
      catch: (cause) => down("cannot be reached", cause)
    }).pipe(
      Effect.flatMap((response) =>
        Effect.tryPromise({
          try: async () => ({ status: response.status, retryAfter: retryAfter(response.headers), body: await atMost(response, longest).text() }),
          catch: (cause) => down("broke off its answer", cause)
        })
      ),
      Effect.timeoutOrElse({
        duration: timeout * 1000,
        orElse: () => Effect.fail(new ServerDown({ message: `${where} gave no whole answer within ${timeout} s (--sampler-timeout)` }))
      })
    )
  return { where, timeout, call, shown }
}

/** The words of an error. */
export const saidIn = (body: string): string => reasonIn(body) ?? body

/** What a status that is not 200 means, where nothing more is known about it. */
export const failureOf = ({ shown, where }: Caller, { body, retryAfter, status }: Answered): ServerBusy | ServerDown | ServerRefused => {
  const said = shown(saidIn(body))
  if (status === 429 || status === 503) return new ServerBusy({ message: `${where} asks for later requests (${status}: ${said})`, retryAfter })
  if (status >= 500 || status === 408 || status === 409) return new ServerDown({ message: `${where} answered ${status} (${said})` })
  const advice = status === 401 ? ": check VEQUINOX_SAMPLER_API_KEY" : ""
  return new ServerRefused({ message: `${where} refused the request (${status}: ${said})${advice}` })
}
