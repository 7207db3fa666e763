/**
 * Commits files to a repository of the Hub, which is made if it does not exist. Large files go first, each by its hash:
 * what the Hub has already is not sent, so a push that broke off goes on where it was. The commit comes last, and has all
 * files or none.
 *
 * @huggingface/hub speaks the protocol (preupload, LFS batch, one PUT or several by parts, commit); every request goes
 * through `send`, which alone knows the token, and gives it to the endpoint's origin only. Files are read as they are
 * sent. Xet is not used.
 */
import { pathToFileURL } from "node:url"
import { Effect, Redacted } from "effect"
import { retryAfter } from "../../system/http-failure.ts"
import { atMost } from "../../system/http-limits.ts"
import { bytes as inBytes, makeProgress, type ProgressStyle } from "../../system/progress.ts"
import { hiding, oneLine } from "../../system/secrets.ts"
import { HubBusy, lostConnection, PushRefused } from "./errors.ts"
import { pushToken } from "./push-token.ts"
import { withHubRetry } from "./retry.ts"
import { hubSettings } from "./settings.ts"

/** A file of the repository: what it holds, or the file that does. */
export interface PushedFile {
  /** In the repository, with slashes. */
  readonly path: string
  readonly content: { readonly text: string } | { readonly file: string; readonly size: number }
}

export interface Push {
  readonly repo: { readonly type: "model" | "dataset"; readonly name: string }
  /** Of a repository that is made. */
  readonly visibility: "private" | "public"
  readonly title: string
  readonly files: ReadonlyArray<PushedFile>
  /** Whether files of the repository may be replaced; its history keeps what they were. */
  readonly update: boolean
  readonly style: ProgressStyle
}

export interface Pushed {
  /** The repository's page. */
  readonly url: string
  readonly commit: string
  readonly created: boolean
  /** Bytes of large files that were sent, and of those that the Hub had. */
  readonly sent: number
  readonly known: number
}

/**
 * For a large body. Else Node's fetch keeps a copy of all that it sends, in case that a redirect asks for it again (step
 * 8.1 of HTTP-network-or-cache fetch: without a window and without redirects, nothing is cloned).
 */
const once = { redirect: "error", window: null } as const

/** Most bytes of an answer. */
const longestAnswer = 32e6
/** The library wants something that looks like one; `send` puts the real one in its place. */
const placeholder = "hf_placeholder"

const sizeOf = ({ content }: PushedFile): number => "text" in content ? Buffer.byteLength(content.text) : content.size

/** Bytes of a blob, told as they are read. The size stays known, which uploads to storage need. */
class Watched extends Blob {
  readonly #inner: Blob
  readonly #read: (bytes: number) => void
  constructor(inner: Blob, read: (bytes: number) => void) {
    super([])
    this.#inner = inner
    this.#read = read
    Object.defineProperty(this, "size", { value: inner.size })
  }
  override stream(): ReturnType<Blob["stream"]> {
    const read = this.#read
    return this.#inner.stream().pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform: (piece, controller) => {
          read(piece.length)
          controller.enqueue(piece)
        }
      })
    ) as ReturnType<Blob["stream"]>
  }
}

/** Fails with `PushRefused`; and with `ModelUnavailable` if a variable of the environment makes no sense. */
export const push = Effect.fn("push")(function*(o: Push) {
  const settings = yield* hubSettings
  const refuse = (message: string) => new PushRefused({ message })
  if (settings.offline) return yield* refuse("HF_HUB_OFFLINE forbids asking the Hub: unset it to push.")
  const token = yield* pushToken(settings)
  const { deadline, endpoint } = settings
  const { host, origin } = new URL(endpoint)
  const { name, type } = o.repo
  const { text: hide } = hiding(token)
  const shown = (said: string) => oneLine(hide(said))
  const kind = type === "dataset" ? "dataset" : "model"
  const page = `${endpoint}/${type === "dataset" ? "datasets/" : ""}${name}`
  let sent = 0
  /** Large objects, and whether the Hub had them when it was asked for the first time. */
  const objects = new Map<string, LargeObject>()
  const sum = (known: boolean) => [...objects.values()].reduce((n, object) => (object.known === known ? n + object.size : n), 0)

  const refusal = (response: Response, body: string): HubBusy | PushRefused => {
    const { headers, status } = response
    const at = URL.parse(response.url)
    const said = shown(headers.get("x-error-message") ?? errorIn(body))
    const words = said === "" ? "" : ` (${said})`
    if (status === 429 || status === 408 || status >= 500 || (at !== null && at.origin !== origin)) {
      return new HubBusy({
        message: status === 429 ? `${host} asks for fewer requests` : `${shown(at?.host ?? host)} answered ${status}${words}`,
        reached: true,
        retryAfter: retryAfter(headers)
      })
    }
    if (status === 401) return refuse(`${host} does not accept the token${words}: set HF_TOKEN to a valid one that may write (${endpoint}/settings/tokens).`)
    if (status === 403) return refuse(`The token may not write to the ${kind} ${name} on ${host}${words}: use one that may (${endpoint}/settings/tokens).`)
    if (status === 404) return refuse(`${host} has no ${kind} ${name} that this token may write to${words}: check the name.`)
    if (status === 409 || status === 412) return refuse(`Somebody else changed ${name} on ${host} at the same time${words}: push again.`)
    return refuse(`${host} answered ${status}${words}: nothing was committed.`)
  }

  const send = (signal: AbortSignal, moved: () => void, may: ReadonlyArray<number> = []): typeof globalThis.fetch => async (input, init = {}) => {
    const url = String(input)
    const headers = new Headers(init.headers)
    headers.set("user-agent", "vequinox")
    if (headers.has("authorization")) {
      headers.delete("authorization")
      if (new URL(url).origin === origin) headers.set("authorization", `Bearer ${Redacted.value(token)}`)
    }
    // A file may take long, but not without moving.
    const late = new AbortController()
    const patience = Math.max(120, deadline)
    const tooLate = () => late.abort(new Error(`nothing moved for ${patience} s`))
    let timer = setTimeout(tooLate, 1000 * patience)
    let counted = 0
    let over = false
    const body = !(init.body instanceof Blob) ? init.body : new Watched(init.body, (bytes) => {
      if (over) return // what was read ahead of a request that has ended
      clearTimeout(timer)
      timer = setTimeout(tooLate, 1000 * patience)
      counted += bytes
      sent += bytes
      moved()
    })
    const own = [signal, late.signal, ...(init.signal == null ? [] : [init.signal])]
    try {
      const response = atMost(
        await fetch(url, { ...init, headers, ...(body instanceof Blob ? once : {}), ...(body == null ? {} : { body }), signal: AbortSignal.any(own) }).catch((cause) => {
          throw signal.aborted ? cause : lostConnection(new URL(url).host, late.signal.aborted ? late.signal.reason : cause, shown)
        }),
        longestAnswer
      )
      const text = response.body === null ? "" : await response.text()
      if (!response.ok && !may.includes(response.status)) {
        throw refusal(Object.defineProperty(new Response(null, { status: response.status, headers: response.headers }), "url", { value: url }), text)
      }
      if (url.endsWith("/objects/batch")) for (const object of objectsIn(text)) if (!objects.has(object.oid)) objects.set(object.oid, object)
      return new Response(text === "" ? null : text, { status: response.status, headers: response.headers })
    } catch (cause) {
      sent -= counted // it will be sent again
      throw cause
    } finally {
      over = true
      clearTimeout(timer)
    }
  }

  const ask = <A>(use: (hub: typeof import("@huggingface/hub"), fetch: (may?: ReadonlyArray<number>) => typeof globalThis.fetch, signal: AbortSignal) => Promise<A>, moved = () => {}) =>
    Effect.tryPromise({
      try: async (signal) => use(await import("@huggingface/hub"), (may) => send(signal, moved, may), signal),
      catch: (cause) =>
        cause instanceof HubBusy || cause instanceof PushRefused
          ? cause
          : refuse(`${endpoint} does not answer as the Hub does (${shown(String((cause as Error).message))}): check HF_ENDPOINT and the network.`)
    })
  const { note } = yield* makeProgress(o.style, inBytes, 0)
  const again = withHubRetry(note, false)
  const common = { repo: o.repo, hubUrl: endpoint, accessToken: placeholder }

  const work = Effect.gen(function*() {
    const created = yield* again(ask(async (hub, fetch) => {
      try {
        await hub.createRepo({ ...common, visibility: o.visibility, fetch: fetch([409]) })
        return true
      } catch (cause) {
        if (cause instanceof hub.HubApiError && cause.statusCode === 409) return false // it is there
        throw cause
      }
    }))
    if (!created && !o.update) {
      const there = yield* again(ask(async (hub, fetch) => {
        const names = new Set<string>()
        for await (const entry of hub.listFiles({ ...common, recursive: true, fetch: fetch() })) names.add(entry.path)
        return names
      }))
      const taken = o.files.find(({ path }) => there.has(path))
      if (taken !== undefined) {
        return yield* refuse(`${page} has ${shown(taken.path)} already: give --update to commit over it, which its history keeps, or choose another --repo.`)
      }
    }
    const total = o.files.reduce((n, file) => n + sizeOf(file), 0)
    const progress = yield* makeProgress(o.style, inBytes, total)
    let moved = 0
    const commit = again(ask((hub, fetch, signal) =>
      hub.commit({
        ...common,
        title: o.title,
        operations: o.files.map(({ content, path }) => ({
          operation: "addOrUpdate" as const,
          path,
          content: "text" in content ? new Blob([content.text]) : pathToFileURL(content.file)
        })),
        useXet: false,
        fetch: fetch(),
        abortSignal: signal
      }), () => (moved = Math.min(total, sent + sum(true)))))
    const told = Effect.forever(Effect.andThen(Effect.sleep("1 second"), Effect.suspend(() => moved > 0 ? progress.tick(moved, "sent") : Effect.void)))
    const made = yield* Effect.raceFirst(commit, told)
    yield* progress.end
    return { url: page, commit: made?.commit.oid ?? "", created, sent: sum(false), known: sum(true) } satisfies Pushed as Pushed
  })
  return yield* work.pipe(
    Effect.catchTag("HubBusy", ({ message }) =>
      Effect.fail(refuse(`${message}; nothing was committed: the same command sends only what ${host} does not have yet.`)))
  )
})

/** What an answer says went wrong; empty if it says nothing. */
const errorIn = (body: string): string => {
  try {
    const { error, message } = JSON.parse(body) as { readonly error?: unknown; readonly message?: unknown }
    return String(error ?? message ?? "")
  } catch {
    return ""
  }
}

interface LargeObject {
  readonly oid: string
  /** Bytes. */
  readonly size: number
  readonly known: boolean
}

/** The objects of an LFS batch: the Hub asks for those that it does not have. */
const objectsIn = (body: string): ReadonlyArray<LargeObject> => {
  try {
    const { objects } = JSON.parse(body) as { readonly objects: ReadonlyArray<{ readonly oid: string; readonly size: number; readonly actions?: unknown }> }
    return objects.map(({ actions, oid, size }) => ({ oid, size, known: actions === undefined }))
  } catch { // not an answer of the Hub's: the library says so
    return []
  }
}
