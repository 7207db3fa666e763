/**
 * Downloads one file of the Hub to its blob in the cache. It grows as `<blob>.incomplete`, survives an interruption,
 * and gets its name only when all its bytes are on disk and have the right hash.
 *
 * Two processes may fetch the same file: both write the same bytes to the same places, and the first to finish renames.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { makeFolders } from "../../system/folders.ts"
import { HubBusy, ModelUnavailable } from "./errors.ts"
import type { Reading, RepoFile } from "./hub.ts"

/** The cache cannot be written to. */
export class CacheUnwritable extends Schema.TaggedError<CacheUnwritable>()("CacheUnwritable", { cause: Schema.Defect() }) {}

export const writing = <A>(write: () => A | Promise<A>): Effect.Effect<A, CacheUnwritable> =>
  Effect.tryPromise({ try: async () => write(), catch: (cause) => new CacheUnwritable({ cause }) })

/** Bytes of a blob that are already there. */
export const thereOf = (blob: string): number =>
  (fs.statSync(blob, { throwIfNoEntry: false }) ?? fs.statSync(`${blob}.incomplete`, { throwIfNoEntry: false }))?.size ?? 0

export interface Download {
  readonly file: RepoFile
  readonly blob: string
  readonly read: (from: number) => Effect.Effect<Reading, HubBusy | ModelUnavailable, Scope.Scope>
  /** Asks again if that may help. */
  readonly again: <A, E, R>(ask: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Called with the number of bytes that are there. */
  readonly moved: (bytes: number) => void
}

/** Pause between two connections, if the first one brought something. */
const pause = "500 millis"

export const download = Effect.fn("download")(function*({ again, blob, file, moved, read }: Download) {
  const part = `${blob}.incomplete`
  yield* writing(() => makeFolders(path.dirname(blob)))
  yield* Effect.acquireUseRelease(
    writing(() => fs.promises.open(part, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644)),
    Effect.fnUntraced(function*(handle) {
      let there = (yield* writing(() => handle.stat())).size
      if (there > file.size) {
        yield* writing(() => handle.truncate(0))
        there = 0
      }
      moved(there)
      while (there < file.size) {
        const before = there
        there = yield* again(piece(handle, file, read, before, moved))
        if (there < file.size) yield* Effect.sleep(pause)
      }
      yield* writing(() => handle.sync())
    }),
    (handle) => Effect.promise(() => handle.close())
  )
  const hash = yield* hashOf(part, file).pipe(
    Effect.catch((error) => fs.existsSync(blob) ? Effect.succeed(file.blob) : Effect.fail(error)) // another process was faster
  )
  if (hash !== file.blob) {
    yield* writing(() => fs.rmSync(part, { force: true }))
    return yield* new ModelUnavailable({
      message: `${file.name} came with the hash ${hash.slice(0, 12)}..., but the Hub lists ${file.blob.slice(0, 12)}...: it was deleted; run the same ` +
        "command again, and if that does not help, something between here and the Hub changes files."
    })
  }
  yield* writing(() => {
    try {
      fs.renameSync(part, blob)
    } catch (cause) {
      if (!fs.existsSync(blob)) throw cause
    }
  })
})

/**
 * Writes what one connection brings as it comes, and returns how much of the file is there then. A connection that
 * breaks off fails only if it brought nothing new.
 */
const piece = (
  handle: fs.promises.FileHandle,
  file: RepoFile,
  read: Download["read"],
  before: number,
  moved: (bytes: number) => void
): Effect.Effect<number, HubBusy | ModelUnavailable | CacheUnwritable> =>
  Effect.gen(function*() {
    const { bytes, from } = yield* read(before)
    let there = from
    const copy = async () => {
      for await (const block of inBlocks(bytes)) {
        if (there + block.length > file.size) {
          throw new ModelUnavailable({ message: `${file.name} is longer than the ${file.size} bytes that the Hub lists: check HF_ENDPOINT.` })
        }
        await writeAll(handle, block, there)
        there += block.length
        moved(there)
      }
      if (there < file.size) {
        throw new HubBusy({ message: `${file.name} ended after ${there} of ${file.size} bytes`, reached: true, retryAfter: 0 })
      }
    }
    yield* Effect.callback<void, HubBusy | ModelUnavailable | CacheUnwritable>((resume) => {
      copy().then(
        () => resume(Effect.void),
        (cause) => resume(isOurs(cause) ? Effect.fail(cause) : Effect.die(cause))
      )
    }).pipe(Effect.catchTag("HubBusy", (error) => (there > before ? Effect.void : Effect.fail(error))))
    return there
  }).pipe(Effect.scoped)

const isOurs = (cause: unknown): cause is HubBusy | ModelUnavailable | CacheUnwritable =>
  cause instanceof HubBusy || cause instanceof ModelUnavailable || cause instanceof CacheUnwritable

/** Block size in bytes. Writing each piece as it comes, and memory for each, would cost more than the connection. */
const blockSize = 2 ** 18

/** One buffer, filled again and again. Bytes that came before a failure are passed on before it is thrown. */
async function* inBlocks(bytes: AsyncIterable<Uint8Array>) {
  const block = Buffer.alloc(blockSize)
  let filled = 0
  try {
    for await (const piece of bytes) {
      for (let at = 0; at < piece.length;) {
        const part = piece.subarray(at, at + blockSize - filled)
        block.set(part, filled)
        filled += part.length
        at += part.length
        if (filled === blockSize) {
          yield block
          filled = 0
        }
      }
    }
  } catch (cause) {
    if (filled > 0) yield block.subarray(0, filled)
    throw cause
  }
  if (filled > 0) yield block.subarray(0, filled)
}

/** A full disk may take some of the bytes, and report it only when it gets the rest. */
const writeAll = async (handle: fs.promises.FileHandle, bytes: Uint8Array, at: number): Promise<void> => {
  try {
    for (let written = 0; written < bytes.length;) {
      written += (await handle.write(bytes, written, bytes.length - written, at + written)).bytesWritten
    }
  } catch (cause) {
    throw new CacheUnwritable({ cause })
  }
}

/** Hash of the file on disk: SHA-256, the Hub's name of an LFS file, or git's hash of a blob. */
const hashOf = (part: string, { blob, size }: RepoFile) =>
  Effect.tryPromise({
    try: async (signal) => {
      const hash = createHash(blob.length === 64 ? "sha256" : "sha1")
      if (blob.length === 40) hash.update(`blob ${size}\0`)
      const piece = Buffer.alloc(2 ** 20)
      const handle = await fs.promises.open(part)
      try {
        while (!signal.aborted) {
          const { bytesRead } = await handle.read(piece, 0, piece.length)
          if (bytesRead === 0) break
          hash.update(piece.subarray(0, bytesRead))
        }
      } finally {
        await handle.close()
      }
      return hash.digest("hex")
    },
    catch: (cause) => new CacheUnwritable({ cause })
  })
