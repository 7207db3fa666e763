/** Opens a file to be sent, and hashes it: whole, and part by part. */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import { Effect, Scope } from "effect"
import type { SentFile } from "../../src/stages/ObjectStore.ts"
import { explain, FileProblem } from "../../src/system/files.ts"

export interface HashedFile extends SentFile {
  /** Of the whole, hex. */
  readonly sha256: string
}

type Hashes = Pick<HashedFile, "size" | "partSize" | "sha256" | "parts">

/** Hashes of files as they were when they were read; a file of the same inode, size and time was not changed since. */
export type HashCache = Map<string, Hashes & { readonly seen: string }>

const pieceSize = 2 ** 20

const hashesOf = async (handle: fs.FileHandle, size: number, partSize: number, signal: AbortSignal): Promise<Omit<Hashes, "size" | "partSize">> => {
  const whole = createHash("sha256")
  const parts: Array<string> = []
  const piece = Buffer.alloc(Math.min(pieceSize, Math.max(1, size)))
  for (let from = 0; from < size || parts.length === 0; from += partSize) {
    const part = createHash("sha256")
    const end = Math.min(size, from + partSize)
    for (let at = from; at < end;) {
      signal.throwIfAborted()
      const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, end - at), at)
      if (bytesRead === 0) throw Object.assign(new Error("it became shorter while it was read"), { code: "ENOENT" })
      whole.update(piece.subarray(0, bytesRead))
      part.update(piece.subarray(0, bytesRead))
      at += bytesRead
    }
    parts.push(part.digest("base64"))
  }
  return { sha256: whole.digest("hex"), parts }
}

/**
 * Open until the scope ends. What is appended meanwhile is not meant. Fails with `FileProblem`; a file that is gone is
 * one too.
 */
export const openSentFile = (file: string, partSizeOf: (size: number) => number, cache: HashCache): Effect.Effect<HashedFile, FileProblem, Scope.Scope> => {
  const attempt = <A>(use: (signal: AbortSignal) => Promise<A>) =>
    Effect.tryPromise({ try: use, catch: (cause) => new FileProblem({ message: `${file} cannot be read: ${explain(cause)}.` }) })
  return Effect.gen(function*() {
    const handle = yield* Effect.acquireRelease(attempt(() => fs.open(file, "r")), (handle) => Effect.promise(() => handle.close()))
    const { ino, mtimeNs, size: large } = yield* attempt(() => handle.stat({ bigint: true }))
    const size = Number(large)
    const seen = `${ino} ${size} ${mtimeNs}`
    const known = cache.get(file)
    if (known?.seen === seen) return { handle, ...known }
    const partSize = partSizeOf(size)
    const hashes = { size, partSize, ...yield* attempt((signal) => hashesOf(handle, size, partSize, signal)) }
    cache.set(file, { ...hashes, seen })
    return { handle, ...hashes }
  })
}
