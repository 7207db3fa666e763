/**
 * Who may ask, how much and how often. A server for this machine alone is not reached from a web page that the user happens to
 * have open: requests that name another host or come from another page are refused. A server for other machines asks everybody
 * for its key.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { ByteSize, Context, Effect, Layer, Option, Predicate, Redacted } from "effect"
import { HttpIncomingMessage, HttpServerError, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiMiddleware } from "effect/http-api"
import { RateLimiter } from "effect/persistence"
import { errors, refuse, type Refusal, said } from "./refusals.ts"

export interface GuardOptions {
  /** Asked of everybody, as a bearer token; undefined: of nobody. */
  readonly key: Redacted.Redacted | undefined
  /** Names under which the server may be asked, without port; undefined: any. */
  readonly hosts: ReadonlyArray<string> | undefined
  /** Pages that may ask, as `http://localhost:5173`; those of the server itself always may. */
  readonly origins: ReadonlyArray<string>
  /** Most bytes of a request's body. */
  readonly mostBytes: number
  /** Requests a minute and client; 0: any number. */
  readonly ratePerMinute: number
}

export class Guarded extends HttpApiMiddleware.Service<Guarded>()("vequinox/serve/Guarded", { error: errors }) {}

/** Field of an endpoint's body that may have the key instead of the header; undefined: none. */
export const KeyInBody = Context.Reference<string | undefined>("vequinox/serve/KeyInBody", { defaultValue: () => undefined })

/** Says in one sentence what is wrong with a body. */
export class Readable extends HttpApiMiddleware.Service<Readable>()("vequinox/serve/Readable", { error: errors }) {}

const digest = (text: string) => createHash("sha256").update(text).digest()
/** Compares in constant time, so that timing shows nothing about how much was right. */
const same = (given: string, wanted: string): boolean => timingSafeEqual(digest(given), digest(wanted))

/** Of a Host header: the name, without port. */
const nameOf = (host: string): string => /^(\[[^\]]*\]|[^:]*)(:\d{1,5})?$/.exec(host)?.[1]?.toLowerCase() ?? ""

/** Undefined if the request may go on. */
const refused = ({ headers }: HttpServerRequest.HttpServerRequest, o: GuardOptions): Refusal | undefined => {
  const { host = "", origin } = headers
  if (o.hosts !== undefined && !o.hosts.includes(nameOf(host))) {
    return refuse("forbidden", "This server is for this machine alone: ask it as localhost, or start it with --host.")
  }
  if (origin !== undefined && origin !== `http://${host}` && !o.origins.includes(origin)) {
    return refuse("forbidden", "Pages of this origin may not ask: start the server with --allow-origin.")
  }
  return undefined
}

const keyless = refuse("unauthenticated", "The key is missing or wrong: send it as a bearer token.", null, "invalid_api_key")

const hasKey = ({ headers: { authorization = "" } }: HttpServerRequest.HttpServerRequest, { key }: GuardOptions): boolean =>
  key === undefined || same(authorization.replace(/^bearer /i, ""), Redacted.value(key))

/** A body that cannot be read has no key. The endpoint reads it again, from memory. */
const hasKeyIn = (field: string, { json }: HttpServerRequest.HttpServerRequest, { key }: GuardOptions) =>
  json.pipe(
    Effect.map((body) => {
      const given = Predicate.isObject(body) && Object.hasOwn(body, field) ? (body as Record<string, unknown>)[field] : undefined
      return key === undefined || (typeof given === "string" && same(given, Redacted.value(key)))
    }),
    Effect.catchTag("HttpServerError", (error) => isTooLarge(error) ? Effect.die(error) : Effect.succeed(false))
  )

/** The rest of the body stays unread, so the connection cannot be used again. */
const tooLarge = ({ mostBytes }: GuardOptions) =>
  HttpServerResponse.jsonUnsafe(refuse("tooLarge", `The body is larger than ${mostBytes} bytes.`), { status: 413, headers: { connection: "close" } })

const isTooLarge = (defect: unknown): boolean =>
  HttpServerError.isHttpServerError(defect) && defect.reason._tag === "RequestParseError" && defect.reason.reason === "BodyTooLarge"

export const guarded = (options: GuardOptions): Layer.Layer<Guarded, never, RateLimiter.RateLimiter> =>
  Layer.effect(
    Guarded,
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const slower = (request: HttpServerRequest.HttpServerRequest) =>
        options.ratePerMinute === 0 ? Effect.void : limiter.consume({
          algorithm: "token-bucket",
          window: "1 minute",
          limit: options.ratePerMinute,
          key: Option.getOrElse(request.remoteAddress, () => "")
        }).pipe(
          Effect.mapError(() => refuse("tooMany", `More than ${options.ratePerMinute} requests a minute: ask more slowly.`, null, "rate_limit_exceeded"))
        )
      return Guarded.of((answer, { endpoint }) =>
        Effect.gen(function*() {
          const request = yield* HttpServerRequest.HttpServerRequest
          const refusal = refused(request, options)
          if (refusal !== undefined) return yield* Effect.fail(refusal)
          const field = Context.get(endpoint.annotations, KeyInBody)
          const known = hasKey(request, options)
          if (!known && field === undefined) return yield* Effect.fail(keyless)
          if (Number(request.headers["content-length"] ?? 0) > options.mostBytes) return tooLarge(options)
          yield* slower(request)
          return yield* Effect.gen(function*() {
            if (!known && !(yield* hasKeyIn(field!, request, options))) return yield* Effect.fail(keyless)
            return yield* answer
          }).pipe(
            Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(options.mostBytes)),
            Effect.catchDefect((defect) => isTooLarge(defect) ? Effect.succeed(tooLarge(options)) : Effect.die(defect))
          )
        })
      )
    })
  )

export const readable: Layer.Layer<Readable> = HttpApiMiddleware.layerSchemaErrorTransform(
  Readable,
  ({ cause, kind }) => Effect.fail(refuse("invalid", `${kind === "Payload" ? "The body" : `The request's ${kind.toLowerCase()}`} cannot be read: ${said(cause)}`))
)
