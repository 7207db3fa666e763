/** Brings a run's copy into a new folder, whole and with every hash compared, or not at all. */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Effect, Schedule } from "effect"
import { ObjectStore, StorageFailed } from "../../src/stages/ObjectStore.ts"
import { explain, FileProblem, needSpace, writeFolder } from "../../src/system/files.ts"
import { makeFolders } from "../../src/system/folders.ts"
import { bytes as inBytes, makeProgress, type ProgressStyle } from "../../src/system/progress.ts"
import { type ManifestFile, readManifest } from "./manifest.ts"

const atOnce = 4
/** Again after a half, 1 and 2 seconds, on top of the client's own tries. */
const again = Schedule.exponential("500 millis").pipe(Schedule.upTo({ times: 3 }))

/** Writes one file, synced. Fails with `StorageFailed` if it is not what the manifest says. */
const download = Effect.fnUntraced(function*(part: string, { key, path: name, sha256, size }: ManifestFile, arrived: (bytes: number) => void) {
  const store = yield* ObjectStore
  const file = path.join(part, ...name.split("/"))
  const damaged = new StorageFailed({ message: `${store.address}/${key} is damaged: its SHA-256 is not that of ${name} in the manifest.`, passes: true })
  const attempt = <A>(use: () => Promise<A>) =>
    Effect.tryPromise({ try: use, catch: (cause) => new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` }) })
  const opened = Effect.acquireRelease(
    attempt(async () => {
      makeFolders(path.dirname(file))
      return fs.open(file, "w")
    }),
    (handle) => Effect.promise(() => handle.close())
  )
  yield* Effect.gen(function*() {
    const handle = yield* opened
    const hash = createHash("sha256")
    let read = 0
    let unwritten: unknown
    yield* store.stream(key, async (piece) => {
      read += piece.length
      if (read > size) throw damaged
      hash.update(piece)
      try {
        await handle.writeFile(piece)
      } catch (cause) {
        unwritten = cause
        throw cause
      }
      arrived(piece.length)
    }).pipe(
      Effect.tapError(() => Effect.sync(() => arrived(-Math.min(read, size)))),
      Effect.mapError((failed) => unwritten === undefined ? failed : new FileProblem({ message: `${file} cannot be written: ${explain(unwritten)}.` }))
    )
    if (hash.digest("hex") !== sha256) {
      arrived(-read)
      return yield* damaged
    }
    yield* attempt(() => handle.sync())
  }).pipe(
    Effect.scoped,
    Effect.retry({ schedule: again, while: (failed) => failed._tag === "StorageFailed" && failed.passes })
  )
})

/**
 * @param out a new or empty folder
 * @returns the run's id
 */
export const downloadRun = Effect.fn("downloadRun")(function*(out: string, style: ProgressStyle) {
  const { address } = yield* ObjectStore
  const found = yield* readManifest
  if (found === undefined) {
    return yield* new StorageFailed({ message: `${address} holds no copy of a run: check the address; it is what --storage-path said.`, passes: false })
  }
  const { files, run } = found.manifest
  if (!files.some(({ path }) => path === "config.json")) {
    return yield* new StorageFailed({ message: `${address} holds no checkpoint yet: its run was stopped before its first one, so begin it anew.`, passes: false })
  }
  const total = files.reduce((n, { size }) => n + size, 0)
  const progress = yield* makeProgress(style, inBytes, total)
  yield* progress.note(`Downloading ${address}, ${files.length} files, to ${out}.`)
  let done = 0
  const told = Effect.forever(Effect.andThen(Effect.sleep("1 second"), Effect.suspend(() => progress.tick(done, "downloaded"))))
  const store = yield* ObjectStore
  yield* writeFolder(out, (part) =>
    Effect.gen(function*() {
      yield* needSpace(part, out, total)
      const all = Effect.forEach(files, (file) => download(part, file, (bytes) => void (done += bytes)), { concurrency: atOnce, discard: true })
      yield* Effect.raceFirst(all, told)
    }).pipe(Effect.provideService(ObjectStore, store)))
  yield* progress.end
  return run
})
