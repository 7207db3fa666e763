/**
 * The Hub over HTTP: which commit a revision is, which files a commit has, and their bytes from any offset.
 *
 * @huggingface/hub looks up models and files. We fetch bytes with our own ranged GET: the library's download can
 * neither continue a broken one nor tell a refusal from a file, and it does not check the bytes. The same GET also
 * reads files that the Hub keeps in Xet, which it serves to every client without Xet.
 */
import { Effect, Redacted, Schema, type Scope } from "effect"
import { retryAfter } from "../../system/http-failure.ts"
import { atMost } from "../../system/http-limits.ts"
import { hiding, oneLine } from "../../system/secrets.ts"
import { HubBusy, lostConnection, ModelUnavailable } from "./errors.ts"
import { type HubModel, isCommit } from "./model-id.ts"
import type { HubSettings } from "./settings.ts"

export interface RepoFile {
  /** A file in the root of the repository, without a folder. */
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** Name of its blob in the cache: its SHA-256 if it is an LFS file, else git's SHA-1. */
  readonly blob: string
}

export interface Reading {
  /** Where the bytes begin. It is 0, whatever was asked for, if the server does not support ranges. */
  readonly from: number
  /** The bytes as they come. Throws `HubBusy` if the connection breaks off or is silent. */
  readonly bytes: AsyncIterable<Uint8Array>
}

type HubError = HubBusy | ModelUnavailable

export interface Hub {
  /** The host, for people. */
  readonly host: string
  readonly commitOf: (model: HubModel) => Effect.Effect<string, HubError>
  /** The files in the root of the repository. */
  readonly files: (model: HubModel, commit: string) => Effect.Effect<ReadonlyArray<RepoFile>, HubError>
  /** The connection ends with the scope. */
  readonly read: (model: HubModel, commit: string, file: RepoFile, from: number) => Effect.Effect<Reading, HubError, Scope.Scope>
}

const Listed = Schema.Array(Schema.Struct({
  type: Schema.String,
  path: Schema.String,
  size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  oid: Schema.String,
  lfs: Schema.optionalKey(Schema.Struct({ oid: Schema.String, size: Schema.Int }))
}))

/** Most bytes of one answer about a model; a page of a thousand files has less than one million. */
const longestListing = 32e6

const isBlob = (text: string): boolean => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
const isName = (text: string): boolean => !/[/\\]|^\.{1,2}$/.test(text)

export const makeHub = ({ deadline, endpoint, token }: Omit<HubSettings, "tokenFile">): Hub => {
  const { host, origin } = new URL(endpoint)
  const { text: hide } = hiding(token)
  /** The words of the Hub, or of a proxy before it: they may repeat the token. */
  const shown = (said: string) => oneLine(hide(said))
  const silent = () =>
    new HubBusy({ message: `${host} sent nothing for ${deadline} s (HF_HUB_DOWNLOAD_TIMEOUT)`, reached: true, retryAfter: 0 })
  const lost = (cause: unknown): HubBusy => lostConnection(host, cause, shown)
  const ours = (cause: unknown): HubError => (cause instanceof HubBusy || cause instanceof ModelUnavailable ? cause : lost(cause))
  const strange = () => new ModelUnavailable({ message: `${endpoint} does not answer as the Hub does: check HF_ENDPOINT and the network.` })

  /** Rejects with a `HubError`. On a redirect to another origin, fetch does not send the token. */
  const send = async (model: HubModel, url: string, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers)
    headers.set("user-agent", "vequinox")
    if (token !== undefined && new URL(url).origin === origin) headers.set("authorization", `Bearer ${Redacted.value(token)}`)
    const response = await fetch(url, { ...init, headers }).catch((cause) => {
      throw lost(cause)
    })
    if (response.ok) return response
    await response.body?.cancel()
    throw refusal(model, response)
  }

  const refusal = ({ id, revision }: HubModel, { headers, status, url }: Response): HubError => {
    const code = headers.get("x-error-code")
    const message = headers.get("x-error-message")
    const said = message === null ? undefined : shown(message)
    const no = (message: string) => new ModelUnavailable({ message })
    const foreign = URL.parse(url)?.origin !== origin // a link to where the bytes are, which may have become too old
    if (status === 429 || status === 408 || status >= 500 || (foreign && code === null)) {
      return new HubBusy({
        message: status === 429 ? `${host} asks for fewer requests${token === undefined ? " (HF_TOKEN allows more)" : ""}` : `${shown(new URL(url).host)} answered ${status}`,
        reached: true,
        retryAfter: Math.max(retryAfter(headers), windowLeft(headers))
      })
    }
    if (code === "GatedRepo") {
      return no(
        `${id} is gated: accept its terms at ${endpoint}/${id}, then ` +
          (token === undefined ? "set HF_TOKEN to a token of that account." : "use a token of that account (the one in HF_TOKEN has no access).")
      )
    }
    if (code === "RevisionNotFound") return no(`${id} has no revision "${revision}": give a branch, a tag or a whole commit.`)
    if (status === 401 && /credentials/i.test(message ?? "")) return no(`${host} does not accept HF_TOKEN (${said}): set a valid token, or none.`)
    if (status === 401 || code === "RepoNotFound" || (status === 404 && code === null)) {
      return no(
        `There is no model ${id} on ${host}, nor a folder of that name here: check the name; if it is private, ` +
          (token === undefined ? "set HF_TOKEN to a token that may read it." : "the token in HF_TOKEN must be allowed to read it.")
      )
    }
    if (status === 403) return no(`${host} refuses ${id}${said === undefined ? "" : ` (${said})`}: check what the token in HF_TOKEN may read.`)
    return no(`${host} answered ${status}${said === undefined ? "" : ` (${said})`} for ${id}.`)
  }

  /** The library is loaded only when needed: a command with a local model does not wait for it. */
  const ask = <A>(model: HubModel, use: (hub: typeof import("@huggingface/hub"), fetch: typeof globalThis.fetch) => Promise<A>) =>
    Effect.tryPromise({
      try: async (signal) => {
        const hub = await import("@huggingface/hub")
        let timeout: AbortSignal | undefined // of the last page
        const within: typeof globalThis.fetch = (url, init) => {
          timeout = AbortSignal.timeout(deadline * 1000)
          const answer = send(model, String(url), { ...init, signal: AbortSignal.any([signal, timeout]) })
          return answer.then((response) => atMost(response, longestListing))
        }
        try {
          return await use(hub, within)
        } catch (cause) {
          throw timeout?.aborted ? silent() : cause
        }
      },
      // Without a cause, it is not fetch that failed but the reading of the answer.
      catch: (cause) => cause instanceof SyntaxError || (cause instanceof TypeError && cause.cause === undefined) ? strange() : ours(cause)
    })

  return {
    host,
    commitOf: Effect.fn("Hub.commitOf")(function*(model: HubModel) {
      const { sha } = yield* ask(model, (hub, fetch) =>
        hub.modelInfo({ name: model.id, revision: model.revision, additionalFields: ["sha"], hubUrl: endpoint, fetch }))
      return isCommit(sha) ? sha : yield* strange()
    }),
    files: Effect.fn("Hub.files")(function*(model: HubModel, commit: string) {
      const all = yield* ask(model, async (hub, fetch) => {
        const entries: Array<unknown> = []
        for await (const entry of hub.listFiles({ repo: { type: "model", name: model.id }, revision: commit, hubUrl: endpoint, fetch })) {
          entries.push(entry)
        }
        return entries
      })
      const entries = yield* Schema.decodeUnknownEffect(Listed)(all).pipe(Effect.mapError(strange))
      const files = entries.filter(({ path, type }) => type === "file" && isName(path) && hide(path) === path).map(({ lfs, oid, path, size }): RepoFile => ({
        name: path,
        size: lfs?.size ?? size,
        blob: lfs?.oid ?? oid
      }))
      return files.every(({ blob }) => isBlob(blob)) ? files : yield* strange()
    }),
    read: Effect.fn("Hub.read")(function*(model: HubModel, commit: string, { name }: RepoFile, from: number) {
      const connection = yield* Effect.acquireRelease(
        Effect.sync(() => new AbortController()),
        (connection) => Effect.sync(() => connection.abort())
      )
      const response = yield* Effect.tryPromise({
        try: () =>
          send(model, `${endpoint}/${model.id}/resolve/${commit}/${encodeURIComponent(name)}`, {
            headers: { "accept-encoding": "identity", ...(from > 0 ? { range: `bytes=${from}-` } : {}) },
            signal: connection.signal
          }),
        catch: ours
      }).pipe(Effect.timeoutOrElse({ duration: deadline * 1000, orElse: () => Effect.fail(silent()) }))
      const begins = response.status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1]) : 0
      if (response.body === null || (begins !== from && begins !== 0)) return yield* strange()
      return { from: begins, bytes: watched(response.body.getReader(), connection) } satisfies Reading as Reading
    })
  }

  /** Plain promises: there may be a hundred thousand pieces. */
  async function* watched(reader: ReadableStreamDefaultReader<Uint8Array>, connection: AbortController) {
    let late = false
    for (;;) {
      const timer = setTimeout(() => {
        late = true
        connection.abort()
      }, deadline * 1000)
      const { value } = await reader.read().catch((cause) => {
        throw late ? silent() : lost(cause)
      }).finally(() => clearTimeout(timer))
      if (value === undefined) return
      yield value
    }
  }
}

/** Seconds left of the Hub's window, as in `RateLimit: "resolvers";r=0;t=55`; 0 if requests are left in it. */
const windowLeft = (headers: Headers): number => {
  const [, remaining, seconds] = /;\s*r=(\d+)\s*;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "") ?? []
  return remaining === "0" ? Math.min(3600, Number(seconds)) : 0
}
