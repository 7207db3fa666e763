/** A small S3 server that is told what to do wrong. It keeps objects in memory, knows one bucket, and checks no signature. */
import { createHash } from "node:crypto"
import * as http from "node:http"
import { listening } from "./loopback.ts"

/**
 * `hang` never answers; `reset` breaks the connection in the middle of what is sent; `etag` and `checksum` answer with those of other bytes; `flipped` keeps
 * other bytes than were sent, without saying so; `endless` answers without end. Others are codes of S3's errors.
 */
export type S3Fault = "hang" | "reset" | "etag" | "checksum" | "flipped" | "endless" | "html" | "SlowDown" | "InternalError" | "AccessDenied" | "NoSuchBucket" | "RequestTimeTooSkewed" | "InvalidAccessKeyId" | "NotImplemented"

export interface S3Request {
  readonly method: string
  /** In the bucket; empty for one about the bucket. */
  readonly key: string
  readonly query: URLSearchParams
}

interface Stored {
  readonly bytes: Buffer
  readonly etag: string
  readonly metadata: Readonly<Record<string, string>>
}

interface Upload {
  readonly key: string
  readonly metadata: Readonly<Record<string, string>>
  readonly parts: Map<number, { readonly bytes: Buffer; readonly sha256: string | undefined }>
}

const statuses: Readonly<Record<string, number>> = {
  SlowDown: 503, InternalError: 500, AccessDenied: 403, NoSuchBucket: 404, NoSuchKey: 404, NoSuchUpload: 404, RequestTimeTooSkewed: 403,
  InvalidAccessKeyId: 403, PreconditionFailed: 412, BadDigest: 400, NotImplemented: 501, EntityTooSmall: 400
}
const md5 = (bytes: Buffer): string => createHash("md5").update(bytes).digest("hex")
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("base64")
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

/** @param faultOf asked before each request is carried out */
export const s3Server = async (bucket: string, faultOf: (request: S3Request) => S3Fault | undefined = () => undefined) => {
  const objects = new Map<string, Stored>()
  const uploads = new Map<string, Upload>()
  const requests: Array<S3Request> = []
  let headers: Array<http.IncomingHttpHeaders> = []
  let largest = 0

  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url!, "http://localhost")
    const [, ofBucket, ...rest] = decodeURIComponent(url.pathname).split("/")
    const asked: S3Request = { method: request.method!, key: rest.join("/"), query: url.searchParams }
    const { key, method, query } = asked
    requests.push(asked)
    headers.push(request.headers)
    const xml = (text: string) => void response.writeHead(200, { "content-type": "application/xml" }).end(`<?xml version="1.0" encoding="UTF-8"?>${text}`)
    const fail = (code: string) =>
      void response.writeHead(statuses[code] ?? 400, { "content-type": "application/xml" }).end(method === "HEAD" ? "" : `<Error><Code>${code}</Code><Message>${request.headers.authorization}</Message></Error>`)
    const fault = faultOf(asked)
    if (fault === "hang") return void request.resume()
    if (fault === "reset") return void request.once("data", () => request.socket.destroy()).once("end", () => request.socket.destroy())
    const pieces: Array<Buffer> = []
    try {
      for await (const piece of request) pieces.push(piece as Buffer)
    } catch { // the client went away
      return
    }
    let body = Buffer.concat(pieces)
    largest = Math.max(largest, body.length)
    if (fault === "html") return void response.writeHead(200, { "content-type": "text/html" }).end("<html>A proxy</html>")
    if (fault === "endless") {
      response.writeHead(200, { "content-type": "application/xml" })
      const more = () => {
        while (!response.destroyed && response.write("<Contents>".repeat(1e5)));
      }
      response.on("drain", more)
      return more()
    }
    if (fault !== undefined && fault in statuses) return fail(fault)
    if (ofBucket !== bucket) return fail("NoSuchBucket")
    const sent = request.headers["x-amz-checksum-sha256"]
    if (sent !== undefined && sent !== sha256(body)) return fail("BadDigest")
    if (fault === "flipped") body = Buffer.from(body.map((byte, n) => n === 0 ? byte ^ 1 : byte))
    const arrived = (etag: string, sha: string | undefined) =>
      void response.writeHead(200, {
        etag: `"${fault === "etag" ? md5(Buffer.from("other")) : etag}"`,
        ...(fault === "checksum" ? { "x-amz-checksum-sha256": sha256(Buffer.from("other")) } : sha === undefined || fault !== undefined ? {} : { "x-amz-checksum-sha256": sha })
      }).end()
    const metadata = Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.startsWith("x-amz-meta-"))) as Record<string, string>
    const uploadId = query.get("uploadId")
    const upload = uploads.get(uploadId ?? "")

    if (key === "" && query.has("uploads")) {
      const all = [...uploads].filter(([, { key }]) => key.startsWith(query.get("prefix") ?? ""))
      return xml(`<ListMultipartUploadsResult>${all.map(([id, { key }]) => `<Upload><Key>${escaped(key)}</Key><UploadId>${id}</UploadId></Upload>`).join("")}</ListMultipartUploadsResult>`)
    }
    if (key === "") {
      // Pages of three, so that every test asks for several.
      const all = [...objects.keys()].filter((key) => key.startsWith(query.get("prefix") ?? "")).sort()
      const from = Number(query.get("continuation-token") ?? 0)
      const next = from + 3 < all.length ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${from + 3}</NextContinuationToken>` : ""
      return xml(`<ListBucketResult><Name>${bucket}</Name>${next}${all.slice(from, from + 3).map((key) => `<Contents><Key>${escaped(key)}</Key></Contents>`).join("")}</ListBucketResult>`)
    }
    if (uploadId !== null && upload === undefined) return fail("NoSuchUpload")
    if (method === "POST" && query.has("uploads")) {
      const id = `upload-${requests.length}`
      uploads.set(id, { key, metadata, parts: new Map() })
      return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`)
    }
    if (upload !== undefined) {
      const parts = [...upload.parts].toSorted(([a], [b]) => a - b)
      if (method === "PUT") {
        upload.parts.set(Number(query.get("partNumber")), { bytes: body, sha256: sent as string | undefined })
        return arrived(md5(body), sent as string | undefined)
      }
      if (method === "GET") {
        return xml(`<ListPartsResult>${parts.map(([n, { bytes }]) => `<Part><PartNumber>${n}</PartNumber><ETag>"${md5(bytes)}"</ETag><Size>${bytes.length}</Size></Part>`).join("")}</ListPartsResult>`)
      }
      if (method === "POST") {
        if (parts.slice(0, -1).some(([, { bytes }]) => bytes.length < 5 * 2 ** 20)) return fail("EntityTooSmall")
        const bytes = Buffer.concat(parts.map(([, { bytes }]) => bytes))
        objects.set(key, { bytes, etag: `${md5(bytes)}-${parts.length}`, metadata: upload.metadata })
      }
      uploads.delete(uploadId!)
      return xml("<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")
    }
    const there = objects.get(key)
    if (method === "PUT") {
      const [match, none] = [request.headers["if-match"], request.headers["if-none-match"]]
      if ((none === "*" && there !== undefined) || (match !== undefined && match !== `"${there?.etag}"`)) return fail("PreconditionFailed")
      objects.set(key, { bytes: body, etag: md5(body), metadata })
      return arrived(md5(body), sent as string | undefined)
    }
    if (method === "DELETE") {
      objects.delete(key)
      return void response.writeHead(204).end()
    }
    if (there === undefined) return fail("NoSuchKey")
    response.writeHead(200, { etag: `"${there.etag}"`, "content-length": there.bytes.length, ...there.metadata }).end(method === "HEAD" ? undefined : there.bytes)
  })
  return {
    ...await listening(server),
    objects,
    uploads,
    requests,
    /** What was asked since this was last called, as `PUT key`; parts with their number. */
    since: (): ReadonlyArray<string> =>
      requests.splice(0).map(({ key, method, query }) => `${method} ${key}${query.has("partNumber") ? `#${query.get("partNumber")}` : ""}`),
    /** All headers that were sent. */
    headers: () => headers,
    /** Bytes of the largest body. */
    largest: () => largest
  }
}
