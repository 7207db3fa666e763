/**
 * A loopback server that takes what is pushed as the Hub does, over real sockets: repositories, preupload, LFS batches with
 * uploads in one piece or by parts, commits. Objects go to another origin, the storage, which must not see the token. It
 * believes nothing: bytes are hashed, and a commit whose objects are not there is refused.
 */
import { createHash } from "node:crypto"
import * as http from "node:http"
import { listening } from "./loopback.ts"

export interface Request {
  readonly host: "hub" | "storage"
  readonly method: string
  readonly path: string
  readonly authorization: string | undefined
  /** Bytes of the body. */
  readonly length: number
}

export interface Commit {
  readonly summary: string
  /** Path to content; of a large file, its bytes too. */
  readonly files: ReadonlyMap<string, Buffer>
}

export interface HubPushOptions {
  readonly token: string
  /** Who may write where; others are refused with 403. */
  readonly owner: string
  /** Bytes of a part; larger files go by parts. Default: none do. */
  readonly partSize?: number
  /** What happens to the first matching requests; a number is the status. */
  readonly faults?: Array<{ readonly on: RegExp; readonly does: number | "reset" | "html" | "echo" }>
  /** Size from which files are large. Default 1000. */
  readonly largeFrom?: number
}

export const startHubPushServer = async ({ faults = [], largeFrom = 1000, owner, partSize = Infinity, token }: HubPushOptions) => {
  const seen: Array<Request> = []
  const objects = new Map<string, Buffer>()
  const parts = new Map<string, Map<number, Buffer>>()
  const repos = new Map<string, { readonly visibility: string; readonly commits: Array<Commit> }>()
  const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

  const bodyOf = async (request: http.IncomingMessage) => {
    const pieces: Array<Buffer> = []
    for await (const piece of request) pieces.push(piece as Buffer)
    return Buffer.concat(pieces)
  }
  const json = (response: http.ServerResponse, status: number, value: unknown, headers = {}) =>
    void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value))

  const fails = (host: Request["host"], request: http.IncomingMessage, response: http.ServerResponse): boolean => {
    const at = faults.findIndex(({ on }) => on.test(`${host} ${request.method} ${request.url}`))
    if (at < 0) return false
    const [{ does } = { does: 500 }] = faults.splice(at, 1)
    if (does === "reset") request.socket.destroy()
    else if (does === "html") response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in to this network</html>")
    else if (does === "echo") json(response, 401, { error: `Invalid token ${request.headers.authorization}` })
    else json(response, does, { error: "as asked" })
    return true
  }

  const storage = http.createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const [, oid, part] = /^\/([0-9a-f]{64})(?:\/(\d+))?/.exec(request.url!) ?? []
      seen.push({ host: "storage", method: request.method!, path: request.url!, authorization: request.headers.authorization, length: body.length })
      if (fails("storage", request, response)) return
      if (request.headers["content-length"] === undefined) return json(response, 411, { error: "length required" })
      if (part !== undefined) {
        const held = parts.get(oid!) ?? new Map<number, Buffer>()
        held.set(Number(part), body)
        parts.set(oid!, held)
        return void response.writeHead(200, { etag: `"${sha256(body).slice(0, 8)}"` }).end()
      }
      if (sha256(body) !== oid) return json(response, 400, { error: "these are other bytes" })
      objects.set(oid, body)
      response.writeHead(200).end()
    }).catch(() => response.destroy()) // broken off
  })
  const { close: closeStorage, url: storageUrl } = await listening(storage)

  const upload = (oid: string, size: number) => {
    if (size <= partSize) return { href: `${storageUrl}/${oid}` }
    const count = Math.ceil(size / partSize)
    const urls = Object.fromEntries(Array.from({ length: count }, (_, i) => [String(i + 1).padStart(5, "0"), `${storageUrl}/${oid}/${i + 1}`]))
    return { href: `${url()}/complete/${oid}`, header: { chunk_size: String(partSize), ...urls } }
  }
  let own = ""
  const url = () => own

  const hub = http.createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const at = new URL(request.url!, "http://hub").pathname
      seen.push({ host: "hub", method: request.method!, path: at, authorization: request.headers.authorization, length: body.length })
      if (fails("hub", request, response)) return
      const complete = /^\/complete\/([0-9a-f]{64})$/.exec(at)
      if (complete) {
        const { parts: told } = JSON.parse(body.toString()) as { parts: Array<{ partNumber: number; etag: string }> }
        const held = parts.get(complete[1]!)!
        const whole = Buffer.concat(told.map(({ etag, partNumber }) => {
          const part = held.get(partNumber)!
          if (etag !== `"${sha256(part).slice(0, 8)}"`) throw new Error("another etag")
          return part
        }))
        if (sha256(whole) !== complete[1]) return json(response, 400, { error: "these are other bytes" })
        objects.set(complete[1]!, whole)
        return json(response, 200, {})
      }
      if (request.headers.authorization !== `Bearer ${token}`) return json(response, 401, { error: "Invalid username or password." })
      if (at === "/api/repos/create") {
        const { name, organization, type, visibility } = JSON.parse(body.toString())
        if (organization !== owner) return json(response, 403, { error: `You don't have the rights to create a ${type} under the namespace "${organization}"` })
        const id = `${type}s/${organization}/${name}`
        if (repos.has(id)) return json(response, 409, { error: "You already created this repo" })
        repos.set(id, { visibility, commits: [] })
        return json(response, 200, { url: `${own}/${id}`, id })
      }
      const resolved = /^\/([^/]+\/[^/]+)\/resolve\/main\/(.+)$/.exec(at)
      if (resolved) {
        const bytes = repos.get(`models/${resolved[1]}`)?.commits.findLast(({ files }) => files.has(resolved[2]!))?.files.get(resolved[2]!)
        return bytes === undefined ? json(response, 404, { error: "Entry not found" }) : void response.writeHead(200).end(bytes)
      }
      const lfs = /^\/(datasets\/)?([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/.exec(at)
      const api = /^\/api\/((?:model|dataset)s\/[^/]+\/[^/]+)\/(preupload|commit|tree)\/main/.exec(at)
      const repo = repos.get(lfs ? `${lfs[1] ?? "models/"}${lfs[2]}` : api?.[1] ?? "")
      if (repo === undefined) return json(response, 404, { error: "Repository not found" })
      if (lfs) {
        const { objects: asked, transfers } = JSON.parse(body.toString()) as { objects: Array<{ oid: string; size: number }>; transfers: Array<string> }
        if (transfers.includes("xet")) return json(response, 400, { error: "xet was not to be used" })
        return json(response, 200, {
          transfer: "basic",
          objects: asked.map(({ oid, size }) => ({ oid, size, ...(objects.has(oid) ? {} : { actions: { upload: upload(oid, size) } }) }))
        })
      }
      if (api![2] === "preupload") {
        const { files } = JSON.parse(body.toString()) as { files: Array<{ path: string; size: number }> }
        return json(response, 200, { files: files.map(({ path, size }) => ({ path, uploadMode: size >= largeFrom ? "lfs" : "regular" })) })
      }
      if (api![2] === "tree") {
        const there = new Map(repo.commits.flatMap(({ files }) => [...files]))
        return json(response, 200, [...there].map(([path, bytes]) => ({ type: "file", path, size: bytes.length, oid: sha256(bytes).slice(0, 40) })))
      }
      const lines = body.toString().split("\n").map((line) => JSON.parse(line) as { key: string; value: Record<string, any> })
      const files = new Map<string, Buffer>()
      for (const { key, value } of lines.slice(1)) {
        if (key === "file") files.set(value["path"], Buffer.from(value["content"], "base64"))
        else {
          const bytes = objects.get(value["oid"])
          if (bytes === undefined || bytes.length !== value["size"]) return json(response, 400, { error: `no object for ${value["path"]}` })
          files.set(value["path"], bytes)
        }
      }
      repo.commits.push({ summary: lines[0]!.value["summary"], files })
      const oid = createHash("sha1").update(body).digest("hex")
      json(response, 200, { success: true, commitOid: oid, commitUrl: `${own}/commit/${oid}` })
    }).catch((cause) => json(response, 500, { error: String(cause) }))
  })
  const { close: closeHub, url: hubUrl } = await listening(hub)
  own = hubUrl
  return {
    url: hubUrl,
    seen,
    repos,
    /** Bytes that the storage took. */
    stored: () => seen.filter(({ host }) => host === "storage").reduce((n, { length }) => n + length, 0),
    close: async () => {
      await closeHub()
      await closeStorage()
    }
  }
}
