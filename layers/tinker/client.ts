/**
 * Calls a Tinker server: one request, or a result that comes later. It never repeats what changes something: whoever holds the
 * model (models.ts) knows from which state to begin again.
 */
import { Duration, Effect, Redacted, Schedule, Schema } from "effect"
import { duration } from "../../src/system/progress.ts"
import { codeOf, reasonIn, rootOf } from "../../src/system/http-failure.ts"
import { atMost } from "../../src/system/http-limits.ts"
import { hiding, oneLine } from "../../src/system/secrets.ts"
import { isAgain, Promised } from "./wire.ts"

/** The server cannot be reached, or it broke off its answer. Worth waiting for. */
export class TinkerGone extends Schema.TaggedError<TinkerGone>()("TinkerGone", { message: Schema.String }) {}

/** A result did not come in time. */
export class TinkerLate extends Schema.TaggedError<TinkerLate>()("TinkerLate", { message: Schema.String }) {}

/** The server does not know this session, model or checkpoint, or no longer: it was started again, or dropped it. */
export class TinkerForgot extends Schema.TaggedError<TinkerForgot>()("TinkerForgot", { message: Schema.String }) {}

/** The server has no place for another adapter: it drops those of a process that was killed after some minutes. */
export class TinkerFull extends Schema.TaggedError<TinkerFull>()("TinkerFull", { message: Schema.String }) {}

/** The server refuses the request, or answers with something that the protocol does not know. Asking again does not help. */
export class TinkerRefused extends Schema.TaggedError<TinkerRefused>()("TinkerRefused", { message: Schema.String }) {}

export type TinkerError = TinkerGone | TinkerLate | TinkerForgot | TinkerFull | TinkerRefused

export interface TinkerOptions {
  /** The server's address, without a query: http://127.0.0.1:8000. */
  readonly url: string
  readonly apiKey: Redacted.Redacted | undefined
  /** Seconds until a result must be there, > 0. Default 600: a server compiles at its first step. */
  readonly deadline?: number
  /** Seconds that one question for a result may stay open. Default 45, as Tinker's own client. */
  readonly poll?: number
  /** Seconds that a server which is gone, or which has no place for an adapter, is waited for, >= 0. Default 600. */
  readonly patience?: number
  /** Hears what a person should know while they wait. */
  readonly note?: (line: string) => Effect.Effect<void>
}

/** Seconds until a request that only begins something must be answered. */
const promptly = 60
/** Bytes of the longest answer that is no archive: log-probabilities of a million tokens. */
const longest = 64_000_000

/** Between two tries to reach a server: 0.2 s, 0.4 s ... at most 10 s. */
const backoff = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("10 seconds")])

interface Answered {
  readonly status: number
  readonly body: string
}

const forgetful = /not (?:loaded|found)|unknown (?:model|session)|expired|no such (?:model|session)/i

const saidIn = (body: string): string => reasonIn(body) ?? body

export const makeTinkerClient = ({ apiKey, deadline = 600, note = () => Effect.void, patience = 600, poll = 45, url }: TinkerOptions) => {
  const hide = hiding(apiKey)
  const root = url.replace(/\/+$/, "")
  const base = `${root}/api/v1`
  const where = `the Tinker server at ${hide.text(root)}`
  const Where = `T${where.slice(1)}`
  const shown = (said: string) => oneLine(hide.text(said))
  const key = apiKey === undefined ? {} : { "x-api-key": Redacted.value(apiKey) }

  const gone = (cause: unknown) =>
    new TinkerGone({ message: `${Where} cannot be reached (${codeOf(cause) || shown(rootOf(cause)) || "the connection was lost"}): start it, or check --tinker-url.` })

  /** @param read reads the body within the same time */
  const request = <A>(path: string, body: unknown, seconds: number, read: (response: Response) => Promise<A>) =>
    Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(path.startsWith("http") ? path : `${base}/${path}`, {
          ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
          headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...(path.startsWith("http") ? {} : key) },
          redirect: "manual", // the key is sent to nobody else
          signal
        })
        return { status: response.status, location: response.headers.get("location"), read: await read(response) }
      },
      catch: gone
    }).pipe(Effect.timeoutOrElse({
      duration: Duration.seconds(seconds),
      orElse: () => Effect.fail(new TinkerLate({ message: `${Where} gave no answer within ${seconds} s.` }))
    }))

  const text = (response: Response) => atMost(response, longest).text()

  const refusal = ({ body, status }: Answered) => {
    const said = `${status}: ${shown(saidIn(body))}`
    if (status === 401 || status === 403) return new TinkerRefused({ message: `${Where} does not accept the key (${said}): check TINKER_API_KEY.` })
    if (status === 404 || status === 410 || forgetful.test(saidIn(body))) return new TinkerForgot({ message: `${Where} does not know what it is asked about (${said}).` })
    if (/maximum number of (?:lora )?adapters/i.test(saidIn(body))) {
      return new TinkerFull({ message: `${Where} has no place for another adapter (${said}): raise its max_lora_adapters, or wait until it has dropped those of a run that was killed.` })
    }
    if (status === 429 || status >= 502) return new TinkerGone({ message: `${Where} is not ready (${said}).` })
    return new TinkerRefused({ message: `${Where} refused the request (${said}).` })
  }

  const decode = <A>(schema: Schema.Codec<A, unknown>, what: string) => ({ body, status }: Answered) =>
    status !== 200 ? Effect.fail(refusal({ body, status })) : Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(body).pipe(
      Effect.mapError(() => new TinkerRefused({ message: `${Where} answered ${what} with something that is not in the protocol (${shown(body)}).` }))
    )

  /** One request. */
  const ask = <A>(path: string, body: unknown, schema: Schema.Codec<A, unknown>): Effect.Effect<A, TinkerError> =>
    Effect.flatMap(request(path, body, promptly, text), ({ read, status }) => decode(schema, path)({ body: read, status }))

  /** One question for a result, repeated where the connection is lost; undefined: not yet. */
  const look = (id: string, seconds: number) =>
    request("retrieve_future", { request_id: id }, seconds, text).pipe(
      Effect.map(({ read, status }): Answered | undefined => {
        if (status === 408 || status === 425) return undefined
        try {
          return status === 200 && isAgain(JSON.parse(read)) ? undefined : { status, body: read }
        } catch {
          return { status, body: read }
        }
      }),
      Effect.catchTag("TinkerLate", () => Effect.succeed(undefined)),
      Effect.retry({ schedule: backoff, times: 5 })
    )

  /** The result that was promised under this id. */
  const result = <A>(id: string, schema: Schema.Codec<A, unknown>, what: string): Effect.Effect<A, TinkerError> =>
    Effect.gen(function*() {
      for (;;) {
        const answered = yield* look(id, Math.min(poll, deadline))
        if (answered !== undefined) return yield* decode(schema, what)(answered)
        yield* Effect.sleep("50 millis") // a server may say "not yet" at once
      }
    }).pipe(Effect.timeoutOrElse({
      duration: Duration.seconds(deadline),
      orElse: () => Effect.fail(new TinkerLate({ message: `${Where} did not finish ${what} within ${deadline} s.` }))
    }))

  /** A request whose result comes later, and that result. */
  const perform = <A>(path: string, body: unknown, schema: Schema.Codec<A, unknown>): Effect.Effect<A, TinkerError> =>
    Effect.flatMap(ask(path, body, Promised), ({ request_id }) => result(request_id, schema, path))

  /** The bytes of an archive, which the server may keep elsewhere. @param most bytes */
  const download = (path: string, most: number): Effect.Effect<Uint8Array, TinkerError> =>
    Effect.gen(function*() {
      let at = path
      for (let hops = 0; hops < 4; hops++) {
        const { location, read, status } = yield* request(at, undefined, deadline, async (response) => new Uint8Array(await atMost(response, most).arrayBuffer()))
        if (status === 200) return read
        if (status < 300 || status >= 400 || location === null) return yield* refusal({ status, body: Buffer.from(read).toString("utf8") })
        const next = new URL(location, `${base}/`)
        // On this server's own address the path below /api/v1 is asked with the key, elsewhere without.
        at = next.href.startsWith(`${base}/`) ? next.href.slice(base.length + 1) : next.href
      }
      return yield* new TinkerRefused({ message: `${Where} sends from one address to the next for ${path}.` })
    })

  /** Repeats what fails so, for as long as is waited; the first time it says so. */
  const patiently = <A>(what: Effect.Effect<A, TinkerError>, passes: (error: TinkerError) => boolean, delays: typeof backoff): Effect.Effect<A, TinkerError> =>
    Effect.suspend(() => {
      let told = false
      return what.pipe(
        Effect.tapError((error) => {
          if (told || !passes(error)) return Effect.void
          told = true
          return note(`${error.message} It is waited for, at most ${duration(patience)}.`)
        }),
        Effect.retry({ while: passes, schedule: delays.pipe(Schedule.upTo({ duration: Duration.seconds(patience) })) })
      )
    })

  /** Waits until the server answers. */
  const ready = patiently(
    Effect.flatMap(request("healthz", undefined, promptly, text), ({ read, status }) => status === 200 ? Effect.void : Effect.fail(refusal({ status, body: read }))),
    ({ _tag }) => _tag === "TinkerGone" || _tag === "TinkerLate",
    backoff
  )

  /** Waits until there is a place for what is made. */
  const whereRoom = <A>(make: Effect.Effect<A, TinkerError>) => patiently(make, ({ _tag }) => _tag === "TinkerFull", backoff)

  return { where, Where, ask, perform, result, download, ready, whereRoom }
}
export type TinkerClient = ReturnType<typeof makeTinkerClient>
