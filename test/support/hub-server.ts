/**
 * A loopback server that speaks the Hub's protocol over real sockets, as huggingface_hub and @huggingface/hub use it:
 * small files by a redirect on the same host, LFS files by one to another origin (the CDN) that must not see the token.
 * It can be told to fail in the ways that the real one does.
 */
import { createHash } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { Effect } from "effect"
import { openWeights, readParameters } from "../../src/model/model-folder.ts"
import { encodeSafetensors } from "../../src/engine/weights/safetensors.ts"

export type Files = ReadonlyMap<string, Uint8Array>

export interface Repo {
  readonly files: Files
  /** Commits by branch or tag. Default: `main` alone. */
  readonly revisions?: Readonly<Record<string, string>>
  /** Only with the token; without it the Hub says that there is none. */
  readonly private?: boolean
  /** The files only with the token, once its account was let in. */
  readonly gated?: "asks" | "refuses"
  /** What the listing says instead of the truth. */
  readonly listed?: (entry: Entry) => Entry
}

interface Entry {
  readonly type: string
  readonly path: string
  readonly size: number
  readonly oid: string
  readonly lfs?: { readonly oid: string; readonly size: number; readonly pointerSize: number }
  readonly xetHash?: string
}

/** `cut`: the connection ends halfway; `stall`: nothing more comes; `whole`: the range is not looked at. */
export type HubFault = "429" | "503" | "cut" | "stall" | "whole" | "html"

export interface HubServerOptions {
  readonly repos: Readonly<Record<string, Repo>>
  readonly token?: string
  /** What happens to the first requests of each host, one after the other; undefined answers. */
  readonly faults?: { readonly hub?: Array<HubFault | undefined>; readonly cdn?: Array<HubFault | undefined> }
  /** Where the listing goes on. Default: on the Hub. */
  readonly pagesOn?: "cdn"
  /** Bytes a second of the CDN. */
  readonly speed?: number
}

export interface Seen {
  readonly host: "hub" | "cdn"
  readonly method: string
  readonly url: string
  readonly authorization: string | undefined
  readonly range: string | undefined
}

export interface HubServer {
  readonly url: string
  readonly seen: ReadonlyArray<Seen>
  /** Bytes of files that were sent. */
  readonly sent: () => number
  readonly close: () => Promise<void>
}

export const commitA = "a".repeat(39) + "1"
export const commitB = "b".repeat(39) + "2"

/** Each once. */
const remembered = (hash: (bytes: Uint8Array) => string) => {
  const known = new WeakMap<Uint8Array, string>()
  return (bytes: Uint8Array): string => {
    const found = known.get(bytes) ?? hash(bytes)
    known.set(bytes, found)
    return found
  }
}
const sha256 = remembered((bytes) => createHash("sha256").update(bytes).digest("hex"))
const gitHash = remembered((bytes) => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"))
const isLfs = (name: string) => /\.(safetensors|pt|bin|onnx|gguf)$/.test(name)

export const blobOf = (name: string, bytes: Uint8Array) => (isLfs(name) ? sha256(bytes) : gitHash(bytes))

const text = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))

/** The files of a folder, without those of its folders. */
export const filesOf = (folder: string): Map<string, Uint8Array> =>
  new Map(
    fs.readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => [name, fs.readFileSync(path.join(folder, name))])
  )

/** A model's folder with its weights in two shards, and beside them what nobody should fetch. */
export const sharded = async (folder: string): Promise<Map<string, Uint8Array>> => {
  const files = filesOf(folder)
  const parameters = [...readParameters(await Effect.runPromise(openWeights(folder)))]
  const half = Math.floor(parameters.length / 2)
  const shards = [parameters.slice(0, half), parameters.slice(half)].map((part, i) => ({
    name: `model-0000${i + 1}-of-00002.safetensors`,
    names: part.map(([name]) => name),
    bytes: encodeSafetensors(new Map(part), "F16")
  }))
  files.delete("model.safetensors")
  for (const { bytes, name } of shards) files.set(name, bytes)
  const weight_map = Object.fromEntries(shards.flatMap(({ name, names }) => names.map((tensor) => [tensor, name])))
  files.set("model.safetensors.index.json", text({ metadata: {}, weight_map }))
  for (const name of ["pytorch_model.bin", "model.onnx", "model-q4.gguf", "consolidated.safetensors"]) files.set(name, text("not needed"))
  files.set("README.md", text("---\n---\n"))
  return files
}

export const startHubServer = async (options: HubServerOptions): Promise<HubServer> => {
  const { repos, speed = Infinity, token } = options
  const faults = { hub: [...options.faults?.hub ?? []], cdn: [...options.faults?.cdn ?? []] }
  const seen: Array<Seen> = []
  const blobs = new Map(Object.values(repos).flatMap(({ files }) => [...files].map(([name, bytes]) => [blobOf(name, bytes), bytes])))
  let sent = 0

  const note = (host: Seen["host"], { headers, method, url }: http.IncomingMessage) =>
    seen.push({ host, method: method!, url: url!, authorization: headers.authorization, range: headers.range })

  /** True when the fault was the answer. */
  const fails = (fault: HubFault | undefined, response: http.ServerResponse): boolean => {
    if (fault === "429") response.writeHead(429, { ratelimit: `"resolvers";r=0;t=1` }).end()
    else if (fault === "503") response.writeHead(503).end("busy")
    else if (fault === "html") response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in to this network</html>")
    else return false
    return true
  }

  const serve = async (request: http.IncomingMessage, response: http.ServerResponse, bytes: Uint8Array, headers: http.OutgoingHttpHeaders, fault?: HubFault) => {
    const asked = fault === "whole" ? undefined : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "")
    const from = Number(asked?.[1] ?? 0)
    const to = Math.min(bytes.length, asked?.[2] ? Number(asked[2]) + 1 : bytes.length)
    if (from >= bytes.length && from > 0) return response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end()
    response.writeHead(asked ? 206 : 200, {
      ...headers,
      "accept-ranges": "bytes",
      "content-length": to - from,
      ...(asked ? { "content-range": `bytes ${from}-${to - 1}/${bytes.length}` } : {})
    })
    if (request.method === "HEAD") return response.end()
    const gone = once(response, "close")
    const end = fault === "cut" || fault === "stall" ? from + Math.ceil((to - from) / 2) : to
    for (let at = from; at < end && !response.destroyed;) {
      const piece = bytes.subarray(at, Math.min(end, at + 16_384))
      sent += piece.length
      at += piece.length
      if (!response.write(piece)) await Promise.race([once(response, "drain"), gone])
      if (speed < Infinity) await new Promise((resolve) => setTimeout(resolve, 1000 * piece.length / speed))
    }
    if (fault === "cut") return request.socket.destroySoon()
    if (fault !== "stall") response.end()
  }

  const cdn = http.createServer((request, response) => {
    note("cdn", request)
    if (request.url!.startsWith("/api/")) return void hub.emit("request", request, response)
    const fault = faults.cdn.shift()
    if (fails(fault, response)) return
    const bytes = blobs.get(request.url!.split("/")[1]!.split("?")[0]!)
    if (bytes === undefined) return response.writeHead(404).end()
    void serve(request, response, bytes, { etag: `"cdn"` }, fault)
  })
  const port = (server: http.Server) => (server.address() as AddressInfo).port

  const hub = http.createServer((request, response) => {
    if (request.socket.localPort === port(hub)) note("hub", request)
    const fault = faults.hub.shift()
    if (fails(fault, response)) return
    const url = new URL(request.url!, "http://hub")
    const refuse = (status: number, code: string, message: string) =>
      response.writeHead(status, { "content-type": "application/json", "x-error-code": code, "x-error-message": message }).end(JSON.stringify({ error: message }))
    const api = /^\/api\/(?:resolve-cache\/)?models\/([^/]+\/[^/]+)\/(.+)$/.exec(url.pathname)
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname)
    const [, id, rest] = api ?? resolve ?? []
    const repo = repos[id ?? ""]
    const known = request.headers.authorization === `Bearer ${token}`
    if (request.headers.authorization !== undefined && !known) {
      return response.writeHead(401, { "x-error-message": "Invalid credentials in Authorization header" }).end()
    }
    if (repo === undefined || (repo.private && !known)) return refuse(known ? 404 : 401, "RepoNotFound", "Repository not found")
    const revisions = repo.revisions ?? { main: commitA }
    const commitOf = (revision: string) => revisions[revision] ?? Object.values(revisions).find((commit) => commit === revision)
    const [kind, revision = ""] = resolve ? ["resolve", resolve[2]] : url.pathname.includes("/resolve-cache/") ? ["cache", rest!.split("/")[0]] : rest!.split("/")
    const commit = commitOf(decodeURIComponent(revision))
    if (commit === undefined) return refuse(404, "RevisionNotFound", `Invalid rev id: ${revision}`)
    const json = (body: unknown, headers: http.OutgoingHttpHeaders = {}) =>
      response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))

    if (kind === "revision") {
      return json({
        _id: "1", id, sha: commit, private: repo.private ?? false, gated: repo.gated ? "manual" : false, downloads: 0, likes: 0,
        lastModified: "2026-01-01T00:00:00.000Z", siblings: [...repo.files.keys()].map((rfilename) => ({ rfilename }))
      })
    }
    if (kind === "tree") {
      const entries: Array<Entry> = [...repo.files].map(([name, bytes]) => {
        const oid = gitHash(bytes)
        return isLfs(name)
          ? { type: "file", path: name, size: bytes.length, oid, lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 133 }, xetHash: sha256(text(name)) }
          : { type: "file", path: name, size: bytes.length, oid }
      })
      entries.push({ type: "directory", path: "onnx", size: 0, oid: "0".repeat(40) })
      const at = Number(url.searchParams.get("cursor") ?? 0)
      const page = 5 // the Hub's has a thousand
      const next = new URLSearchParams({ ...Object.fromEntries(url.searchParams), cursor: String(at + page) })
      const link = `<http://127.0.0.1:${port(options.pagesOn === "cdn" ? cdn : hub)}${url.pathname}?${next}>; rel="next"`
      return json(entries.slice(at, at + page).map(repo.listed ?? ((entry) => entry)), at + page < entries.length ? { link } : {})
    }
    if (repo.gated && (!known || repo.gated === "refuses")) {
      return refuse(known ? 403 : 401, "GatedRepo", `Access to model ${id} is restricted.`)
    }
    const name = decodeURIComponent(resolve ? resolve[3]! : rest!.split("/").slice(1).join("/"))
    const bytes = repo.files.get(name)
    if (bytes === undefined) return refuse(404, "EntryNotFound", "Entry not found")
    const headers = { "x-repo-commit": commit, etag: `"${blobOf(name, bytes)}"` }
    if (kind === "cache") return void serve(request, response, bytes, headers, fault)
    if (!isLfs(name)) {
      return response.writeHead(307, { ...headers, location: `/api/resolve-cache/models/${id}/${commit}/${name}` }).end()
    }
    const linked = { "x-linked-size": bytes.length, "x-linked-etag": `"${sha256(bytes)}"`, "x-repo-commit": commit, etag: `"other"` }
    if (request.headers.accept?.includes("application/vnd.xet-fileinfo+json")) {
      const at = `http://127.0.0.1:${port(hub)}`
      return response.writeHead(200, {
        ...linked,
        "content-type": "application/vnd.xet-fileinfo+json",
        "x-xet-hash": sha256(text(name)),
        link: `<${at}/xet-read-token>; rel="xet-auth", <${at}/xet>; rel="xet-reconstruction-info"`
      }).end("{}")
    }
    response.writeHead(302, { ...linked, location: `http://127.0.0.1:${port(cdn)}/${sha256(bytes)}?signature=of-a-minute` }).end()
  })
  for (const server of [hub, cdn]) {
    server.keepAliveTimeout = 1000
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  }
  return {
    url: `http://127.0.0.1:${port(hub)}`,
    seen,
    sent: () => sent,
    close: async () => {
      for (const server of [hub, cdn]) {
        server.closeAllConnections()
        await new Promise<void>((resolve) => void server.close(() => resolve()))
      }
    }
  }
}
