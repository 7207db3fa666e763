/** One HTTP call to a cluster: its answer decoded by a schema, under a deadline and a limit of bytes, its words without the token. */
import * as http from "node:http"
import * as https from "node:https"
import { Readable } from "node:stream"
import { Effect, Redacted, Schema } from "effect"
import { reasonIn, retryAfter, rootOf, wasUnsent } from "../../src/system/http-failure.ts"
import { atMost, longestAnswer } from "../../src/system/http-limits.ts"
import { hiding, oneLine } from "../../src/system/secrets.ts"
import { JobBusy, JobRefused } from "./cluster.ts"

export interface Server {
  /** For people. */
  readonly name: string
  /** Without a slash at its end. */
  readonly url: string
  readonly token: Redacted.Redacted | undefined
  /** Variable that the token comes from. */
  readonly tokenName: string
  /** Seconds for a whole answer. Default 30. */
  readonly deadline?: number | undefined
}

export interface Call {
  readonly method?: "GET" | "POST" | "DELETE"
  /** With its query. */
  readonly path: string
  readonly body?: unknown
  /** Most bytes of the answer. */
  readonly most?: number
  /** Answers may come from another origin, which does not get the token. Default false. */
  readonly elsewhere?: boolean
  /** Seconds after which what has come is the answer: for a stream that does not end by itself. */
  readonly until?: number
}

/**
 * A request without what Node's `fetch` adds: Ray takes its `sec-fetch-mode` for a browser's, and lets no browser change anything
 * (405; is_browser_request in dashboard/optional_utils.py of 2.60.0). Follows no redirect.
 */
const plainly = (url: string, { body, headers, method, signal }: { readonly body?: string; readonly headers: Record<string, string>; readonly method: string; readonly signal: AbortSignal }) =>
  new Promise<Response>((resolve, reject) => {
    const request = (url.startsWith("https:") ? https : http).request(url, { method, headers, signal }, (incoming) => {
      const status = incoming.statusCode ?? 0
      const told = Object.entries(incoming.headers).map(([name, value]): [string, string] => [name, String(value)])
      if (status < 200 || status > 599) return reject(new Error(`it answered ${status}`))
      const empty = status === 204 || status === 205 || status === 304
      resolve(new Response(empty ? null : Readable.toWeb(incoming) as ReadableStream<Uint8Array>, { status, headers: told }))
    })
    request.on("error", reject).end(body)
  })

/** The bytes that come within so many seconds, or all of them. */
const within = async (response: Response, seconds: number): Promise<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  const reader = response.body?.getReader()
  const timer = setTimeout(() => void reader?.cancel().catch(() => {}), 1000 * seconds)
  try {
    for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read()) pieces.push(next.value)
  } finally {
    clearTimeout(timer)
  }
  return Buffer.concat(pieces)
}

/** The words of an error; of Ray's Python tracebacks the last line tells. */
const said = (text: string): string => reasonIn(text) ?? (text.trimStart().startsWith("{") ? "" : text.split("\n").findLast((line) => /\w/.test(line)) ?? "")

export interface Asking {
  readonly bytes: (call: Call) => Effect.Effect<Uint8Array, JobBusy | JobRefused>
  readonly text: (call: Call) => Effect.Effect<string, JobBusy | JobRefused>
  readonly json: <A>(schema: Schema.Codec<A, unknown>, call: Call) => Effect.Effect<A, JobBusy | JobRefused>
  /** A stranger's words, on one line, without the token. */
  readonly shown: (text: string) => string
}

export const asking = ({ deadline = 30, name, token, tokenName, url }: Server): Asking => {
  const { text: hide } = hiding(token)
  const shown = (text: string) => oneLine(hide(text))

  const refusal = (method: string, status: number, text: string, headers: Headers) => {
    const reason = shown(said(text))
    const words = reason === "" ? "" : ` (${reason})`
    // A Ray head answers 500 to an id that it has already, too.
    if (status === 408 || status === 429 || (status >= 500 && !(status === 500 && method === "POST"))) {
      return new JobBusy({
        message: status === 429 ? `${name} asks for fewer requests` : `${name} answered ${status}${words}`,
        reached: true,
        retryAfter: retryAfter(headers)
      })
    }
    const refuse = (message: string) => new JobRefused({ message, status })
    if (status === 401) return refuse(`${name} does not accept ${token === undefined ? "a call without a token" : "the token"}${words}: set ${tokenName}.`)
    if (status === 403) return refuse(`The token may not do this at ${name}${words}: use another ${tokenName}.`)
    if (status === 402) return refuse(`The account has no credit at ${name}${words}: add some, then resume the run.`)
    if (status === 404) return refuse(`${name} does not know this${words}: check --job-url and the names given.`)
    return refuse(`${name} answered ${status}${words}.`)
  }

  const bytes = ({ body, elsewhere = false, method = "GET", most = longestAnswer, path, until }: Call) =>
    Effect.tryPromise({
      try: async (signal) => {
        const response = await (elsewhere ? fetch : plainly)(`${url}${path}`, {
          method,
          headers: {
            "user-agent": "vequinox",
            ...(token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }),
            ...(body === undefined ? {} : { "content-type": "application/json" })
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal
        })
        const limited = atMost(response, most)
        const read = until === undefined || !response.ok ? new Uint8Array(await limited.arrayBuffer()) : await within(limited, until)
        if (!response.ok) throw refusal(method, response.status, new TextDecoder().decode(read), response.headers)
        return read
      },
      catch: (cause) =>
        cause instanceof JobBusy || cause instanceof JobRefused ? cause : new JobBusy({
          message: wasUnsent(cause) ? `${name} cannot be reached (${shown(rootOf(cause))})` : `${name} broke off its answer (${shown(rootOf(cause))})`,
          reached: !wasUnsent(cause),
          retryAfter: 0
        })
    }).pipe(Effect.timeoutOrElse({
      duration: deadline * 1000,
      orElse: () => Effect.fail(new JobBusy({ message: `${name} gave no answer within ${deadline} s`, reached: true, retryAfter: 0 }))
    }))
  const text = (call: Call) => Effect.map(bytes(call), (read) => new TextDecoder().decode(read))
  const json = <A>(schema: Schema.Codec<A, unknown>, call: Call) =>
    Effect.flatMap(text(call), (read) =>
      Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))(read).pipe(
        Effect.flatMap(Schema.decodeUnknownEffect(schema)),
        Effect.mapError(() => new JobRefused({ message: `${name} does not answer as it is documented to: check --job-url and --job-on.`, status: 0 }))
      ))
  return { bytes, text, json, shown }
}

/** Undefined in place of 404. */
export const orNone = <A>(call: Effect.Effect<A, JobBusy | JobRefused>): Effect.Effect<A | undefined, JobBusy | JobRefused> =>
  Effect.catchTag(call, "JobRefused", (refused) => refused.status === 404 ? Effect.undefined : Effect.fail(refused))

/** A log has at most so many bytes; a longer one is not read. */
export const longestLog = 16_000_000

/** Lines for people, each shortened; carriage returns end lines too. */
export const linesOf = (text: string): ReadonlyArray<string> =>
  text.split(/\r\n|\r|\n/).map((line) => oneLine(line, 400)).filter((line) => line !== "")
