/**
 * Objects of a bucket, over the S3 protocol: Amazon's, MinIO's, Cloudflare's R2, Ceph's. Every upload carries its SHA-256 for the
 * server to compare; the checksum that comes back is compared too, or the ETag where a server knows no SHA-256.
 */
import { createHash } from "node:crypto"
import type * as sdkTypes from "@aws-sdk/client-s3"
import { Effect, Layer, Semaphore } from "effect"
import { type Label, ObjectStore, type SentFile, StorageFailed } from "../../src/stages/ObjectStore.ts"
import { addressOf, type StorageAddress } from "./address.ts"
import { s3Client } from "./s3-client.ts"
import { type Asked, failureOf, isMissing, isOvertaken, isUnknown, mismatch, notS3, SdkFailed } from "./s3-failure.ts"

/** Bytes of a part, as in Amazon's own tools; S3 takes at least 5 MiB and at most 10,000 parts. */
const smallestPart = 8 * 2 ** 20
const mostParts = 10_000

/** Bodies that are in memory at a time: with the smallest parts 32 MiB. */
const atOnce = 4

/** Most bytes of an object that is read into memory. */
const longestWritten = 64e6

/** Most uploads that were begun below a prefix and not completed. */
const mostUploads = 1e5

export const partSizeOf = (size: number): number => Math.max(smallestPart, Math.ceil(size / mostParts / 2 ** 20) * 2 ** 20)

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("base64")
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex")
const bare = (etag: string | undefined): string => (etag ?? "").replaceAll("\"", "")

interface Answered {
  readonly ETag?: string | undefined
  readonly ChecksumSHA256?: string | undefined
  readonly ServerSideEncryption?: string | undefined
}

/** Whether a server has these bytes, by the strongest of what it says about them. An ETag of encrypted bytes says nothing. */
const hasArrived = ({ ChecksumSHA256, ETag, ServerSideEncryption = "AES256" }: Answered, bytes: Uint8Array, sha: string): boolean =>
  ETag !== undefined && (ChecksumSHA256 !== undefined ? ChecksumSHA256 === sha : ServerSideEncryption !== "AES256" || !/^[0-9a-f]{32}$/.test(bare(ETag)) || bare(ETag) === md5(bytes))

const labelOf = (metadata: Readonly<Record<string, string>> | undefined): Label | undefined => {
  const { "vequinox-run": run, "vequinox-sha256": sha256 } = metadata ?? {}
  return run === undefined || sha256 === undefined ? undefined : { run, sha256 }
}
const metadataOf = ({ run, sha256 }: Label) => ({ "vequinox-run": run, "vequinox-sha256": sha256 })

const make = Effect.fnUntraced(function*({ bucket, prefix }: StorageAddress) {
  const { client, host, sdk } = yield* s3Client
  const places = yield* Semaphore.make(atOnce)
  const below = prefix === "" ? "" : `${prefix}/`
  const at = (key: string) => ({ Bucket: bucket, Key: below + key })
  const asked = (verb: Asked["verb"], key: string): Asked => ({ bucket, host, verb, object: `s3://${bucket}/${below}${key}` })
  const call = <A>(use: (o: { readonly abortSignal: AbortSignal }) => Promise<A>) =>
    Effect.tryPromise({ try: (abortSignal) => use({ abortSignal }), catch: (cause) => new SdkFailed({ cause }) })
  const ask = <A>(verb: Asked["verb"], key: string, use: (o: { readonly abortSignal: AbortSignal }) => Promise<A>) =>
    Effect.mapError(call(use), (failed) => failureOf(failed, asked(verb, key)))
  /** Undefined where there is no such object. */
  const found = <A>(key: string, use: (o: { readonly abortSignal: AbortSignal }) => Promise<A>) =>
    call(use).pipe(Effect.catchIf(isMissing, () => Effect.undefined), Effect.mapError((failed) => failureOf(failed, asked("read", key))))

  const get = (key: string, most: number | undefined, use: (piece: Uint8Array) => Promise<void>) =>
    found(key, async (o) => {
      const { Body, ETag } = await client.send(new sdk.GetObjectCommand(at(key)), o)
      let read = 0
      for await (const piece of Body as AsyncIterable<Uint8Array>) {
        o.abortSignal.throwIfAborted()
        read += piece.length
        if (most !== undefined && read > most) throw new StorageFailed({ message: `${asked("read", key).object} is longer than ${most} bytes, which none of vequinox's is: check the address.`, passes: false })
        await use(piece)
      }
      return ETag ?? ""
    })

  const read = Effect.fnUntraced(function*(key: string, most: number) {
    const pieces: Array<Uint8Array> = []
    const version = yield* get(key, most, async (piece) => void pieces.push(piece))
    return version === undefined ? undefined : { bytes: Buffer.concat(pieces), version }
  })
  const stream = Effect.fnUntraced(function*(key: string, use: (piece: Uint8Array) => Promise<void>) {
    if ((yield* get(key, undefined, use)) === undefined) {
      return yield* new StorageFailed({ message: `${asked("read", key).object} is not there: the copy of the run is not whole any more.`, passes: false })
    }
  })

  const write = Effect.fnUntraced(function*(key: string, bytes: Uint8Array, replaces: string | undefined) {
    const sha = sha256(bytes)
    const put = (condition: Partial<sdkTypes.PutObjectCommandInput>) =>
      call((o) => client.send(new sdk.PutObjectCommand({ ...at(key), Body: bytes, ContentType: "application/json", ChecksumAlgorithm: "SHA256", ChecksumSHA256: sha, ...condition }), o))
    const answer = yield* put(replaces === undefined ? { IfNoneMatch: "*" } : replaces === "" ? {} : { IfMatch: replaces }).pipe(
      Effect.catchIf(isUnknown, () => put({})),
      // The SDK sends again what was not answered, and may meet what it wrote itself.
      Effect.catchIf(isOvertaken, (failed) =>
        Effect.flatMap(read(key, longestWritten), (there) => there !== undefined && sha256(there.bytes) === sha ? Effect.succeed({ ETag: there.version }) : Effect.fail(failed))),
      Effect.mapError((failed) => failed._tag === "SdkFailed" ? failureOf(failed, asked("write", key)) : failed)
    )
    if (!hasArrived(answer, bytes, sha)) return yield* mismatch(asked("write", key).object, host)
    return answer.ETag ?? ""
  })

  /** The bytes of a part, from 1; they must be those that were hashed. */
  const partOf = (key: string, { handle, partSize, parts, size }: SentFile, number: number) =>
    ask("write", key, async () => {
      const from = (number - 1) * partSize
      const bytes = Buffer.alloc(Math.min(partSize, size - from))
      for (let read = 0; read < bytes.length;) {
        const { bytesRead } = await handle.read(bytes, read, bytes.length - read, from + read)
        if (bytesRead === 0) break
        read += bytesRead
      }
      if (sha256(bytes) === parts[number - 1]) return bytes
      throw new StorageFailed({ message: `The file of ${asked("write", key).object} was changed while it was sent.`, passes: true })
    })

  /** One request with bytes in memory; what it answers is compared with them. */
  const sent = <A extends Answered>(key: string, file: SentFile, number: number, send: (bytes: Buffer, sha: string, o: { readonly abortSignal: AbortSignal }) => Promise<A>) =>
    Effect.gen(function*() {
      const sha = file.parts[number - 1]!
      const bytes = yield* partOf(key, file, number)
      const answer = yield* ask("write", key, (o) => send(bytes, sha, o))
      if (!hasArrived(answer, bytes, sha)) return yield* mismatch(asked("write", key).object, host)
      file.arrived?.(bytes.length)
      return answer
    }).pipe(places.withPermit)

  /** Uploads that were begun and not completed, oldest first. @param below of keys, as the bucket has them */
  const unfinished = Effect.fnUntraced(function*(below: string) {
    const all: Array<sdkTypes.MultipartUpload> = []
    let marks: Pick<sdkTypes.ListMultipartUploadsCommandInput, "KeyMarker" | "UploadIdMarker"> | undefined = {}
    while (marks !== undefined) {
      const from: Pick<sdkTypes.ListMultipartUploadsCommandInput, "KeyMarker" | "UploadIdMarker"> = marks
      const page: sdkTypes.ListMultipartUploadsCommandOutput = yield* ask("list", "", (o) =>
        client.send(new sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: below, ...from }), o))
      const { IsTruncated, NextKeyMarker, NextUploadIdMarker, Uploads = [] } = page
      all.push(...Uploads)
      marks = IsTruncated === true && Uploads.length > 0 && all.length < mostUploads ? { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker } : undefined
    }
    return all.toSorted((a, b) => Number(a.Initiated ?? 0) - Number(b.Initiated ?? 0))
  })
  const abandon = ({ Key, UploadId }: sdkTypes.MultipartUpload) =>
    call((o) => client.send(new sdk.AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }), o)).pipe(
      Effect.catchIf(isMissing, () => Effect.void),
      Effect.mapError((failed) => failureOf(failed, asked("remove", (Key ?? "").slice(below.length))))
    )

  /** The parts of an upload that have arrived, by number. */
  const arrived = Effect.fnUntraced(function*(key: string, UploadId: string) {
    const all = new Map<number, sdkTypes.Part>()
    let next: string | undefined = "0"
    while (next !== undefined) {
      const mark: string = next
      const page: sdkTypes.ListPartsCommandOutput = yield* ask("write", key, (o) => client.send(new sdk.ListPartsCommand({ ...at(key), UploadId, PartNumberMarker: mark }), o))
      for (const part of page.Parts ?? []) all.set(part.PartNumber ?? 0, part)
      next = page.IsTruncated === true && page.NextPartNumberMarker !== mark && all.size < mostParts ? page.NextPartNumberMarker : undefined
    }
    return all
  })

  const isPartOf = Effect.fnUntraced(function*(key: string, file: SentFile, { ChecksumSHA256, ETag, PartNumber = 0, Size }: sdkTypes.Part) {
    const sha = file.parts[PartNumber - 1]
    if (sha === undefined || Size !== Math.min(file.partSize, file.size - (PartNumber - 1) * file.partSize)) return false
    return ChecksumSHA256 !== undefined ? ChecksumSHA256 === sha : bare(ETag) === md5(yield* partOf(key, file, PartNumber).pipe(places.withPermit))
  })
  /** The upload of this very file that broke off, and its parts; others of the same name are removed. */
  const goOn = Effect.fnUntraced(function*(key: string, file: SentFile) {
    const begun = (yield* unfinished(below + key)).filter(({ Key }) => Key === below + key)
    const last = begun.at(-1)
    const before = last?.UploadId === undefined ? new Map<number, sdkTypes.Part>() : yield* arrived(key, last.UploadId)
    const isSame = before.size > 0 && (yield* Effect.forEach(before.values(), (part) => isPartOf(key, file, part))).every(Boolean)
    yield* Effect.forEach(isSame ? begun.slice(0, -1) : begun, abandon, { discard: true })
    return isSame ? { UploadId: last?.UploadId, before } : undefined
  })

  const uploadParts = Effect.fnUntraced(function*(key: string, file: SentFile, label: Label) {
    const { UploadId, before } = (yield* goOn(key, file)) ?? {
      UploadId: (yield* ask("write", key, (o) =>
        client.send(new sdk.CreateMultipartUploadCommand({ ...at(key), ChecksumAlgorithm: "SHA256", Metadata: metadataOf(label) }), o))).UploadId,
      before: new Map<number, sdkTypes.Part>()
    }
    if (UploadId === undefined) return yield* notS3(asked("write", key))
    const Parts = yield* Effect.forEach(file.parts, Effect.fnUntraced(function*(sha, n) {
      const [PartNumber, ChecksumSHA256] = [n + 1, sha]
      const there = before.get(PartNumber)
      if (there !== undefined) {
        file.arrived?.(there.Size ?? 0)
        return { PartNumber, ETag: there.ETag, ChecksumSHA256 }
      }
      const { ETag } = yield* sent(key, file, PartNumber, (Body, ChecksumSHA256, o) =>
        client.send(new sdk.UploadPartCommand({ ...at(key), UploadId, PartNumber, Body, ChecksumAlgorithm: "SHA256", ChecksumSHA256 }), o))
      return { PartNumber, ETag, ChecksumSHA256 }
    }), { concurrency: atOnce })
    yield* ask("write", key, (o) => client.send(new sdk.CompleteMultipartUploadCommand({ ...at(key), UploadId, MultipartUpload: { Parts } }), o)).pipe(
      // An answer that was lost: the upload was completed before it was asked for again.
      Effect.catchIf(({ passes }) => passes, (failed) => Effect.flatMap(head(key), (there) => there?.label?.sha256 === label.sha256 ? Effect.void : Effect.fail(failed)))
    )
    const there = yield* head(key)
    if (there?.size !== file.size || there.label?.sha256 !== label.sha256) return yield* mismatch(asked("write", key).object, host)
  })

  const head = (key: string) =>
    Effect.map(found(key, (o) => client.send(new sdk.HeadObjectCommand(at(key)), o)), (there) => there && { size: there.ContentLength, label: labelOf(there.Metadata) })

  const list = Effect.fnUntraced(function*(enough: number) {
    const keys = new Set<string>()
    let next: string | undefined = ""
    while (next !== undefined) {
      const mark: string = next
      const page: sdkTypes.ListObjectsV2CommandOutput = yield* ask("list", "", (o) =>
        client.send(new sdk.ListObjectsV2Command({ Bucket: bucket, Prefix: below, ...(mark === "" ? {} : { ContinuationToken: mark }) }), o))
      if (page.Name === undefined) return yield* notS3(asked("list", "")) // a web server's page is no empty list
      for (const { Key } of page.Contents ?? []) if (Key?.startsWith(below) === true && Key !== below) keys.add(Key.slice(below.length))
      next = page.IsTruncated === true && page.NextContinuationToken !== mark && keys.size < enough ? page.NextContinuationToken : undefined
    }
    return keys
  })

  return ObjectStore.of({
    address: addressOf({ bucket, prefix }),
    partSizeOf,
    read,
    stream,
    write,
    upload: (key, file, label) =>
      file.parts.length > 1
        ? uploadParts(key, file, label)
        : Effect.asVoid(sent(key, file, 1, (Body, ChecksumSHA256, o) =>
          client.send(new sdk.PutObjectCommand({ ...at(key), Body, ChecksumAlgorithm: "SHA256", ChecksumSHA256, Metadata: metadataOf(label) }), o))),
    list,
    label: (key) => Effect.map(head(key), (there) => there?.label),
    remove: (key) =>
      call((o) => client.send(new sdk.DeleteObjectCommand(at(key)), o)).pipe(
        Effect.catchIf(isMissing, () => Effect.void),
        Effect.mapError((failed) => failureOf(failed, asked("remove", key))),
        Effect.asVoid
      ),
    abandonUploads: Effect.flatMap(unfinished(below), (all) => Effect.forEach(all, abandon, { discard: true }))
  })
})

/** Fails with `StorageFailed` without the package; the store itself is not asked yet. */
export const layer = (address: StorageAddress) => Layer.effect(ObjectStore, make(address))
