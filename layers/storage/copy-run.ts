/**
 * Copies a run folder to an object store: files first, the manifest last, then what it no longer names is removed. Broken
 * off at any instant, the manifest before still names a whole copy: no object that it names is written again.
 */
import { randomUUID } from "node:crypto"
import { Effect, Ref } from "effect"
import type { RunFolder } from "../../src/run/folder.ts"
import { ObjectStore, StorageFailed } from "../../src/stages/ObjectStore.ts"
import { type Manifest, type ManifestFile, manifestKey, readManifest, writeManifest } from "./manifest.ts"
import { type HashCache, openSentFile } from "./sent-file.ts"
import { type SnapshotFile, snapshotOf } from "./snapshot.ts"

/** Files that are hashed and sent at a time. */
const atOnce = 4

/** Most objects below a run's prefix. */
const mostObjects = 1e6

/** A run's place in a store. */
export interface Place {
  readonly run: RunFolder
  /** The run's id. */
  readonly id: string
  /** This process, by an id of its own. */
  readonly writer: string
  /** What the store holds, as this process last wrote or read it. */
  readonly held: Ref.Ref<{ readonly manifest: Manifest; readonly version: string }>
  readonly hashes: HashCache
  /** Bytes of the copy under way, or of the last one: all, and those that the store has. */
  readonly amounts: { total: number; there: number }
}

const foreign = (message: string) => new StorageFailed({ message, passes: false })

/**
 * The copy that a run has, if it has one. Fails if the prefix holds anything else; writes nothing.
 * @param id the run's; undefined for a new run, whose prefix must be empty
 */
export const needOwnPrefix = Effect.fnUntraced(function*(id: string | undefined) {
  const { address, list } = yield* ObjectStore
  const found = yield* readManifest
  if (found !== undefined) {
    return found.manifest.run === id ? found : yield* foreign(
      `${address} holds another run: choose another --storage-path, or continue that run with --resume ${address}`
    )
  }
  if ((yield* list(1)).size === 0) return undefined
  return yield* foreign(`${address} holds objects that vequinox did not make, so it writes nothing there: choose a new or empty prefix with --storage-path.`)
})

/** Takes the prefix for this run, and no other run can from then on. */
export const claim = Effect.fnUntraced(function*(run: RunFolder, id: string) {
  const before = yield* needOwnPrefix(id)
  const writer = randomUUID()
  const manifest: Manifest = before?.manifest ??
    { format: "vequinox-run", version: 1, run: id, writer, step: 0, finished: false, written: new Date().toISOString(), files: [] }
  const version = before?.version ?? (yield* writeManifest(manifest, undefined))
  const place: Place = { run, id, writer, held: yield* Ref.make({ manifest, version }), hashes: new Map(), amounts: { total: 0, there: 0 } }
  return place
})

/**
 * Where a file's bytes go: under its own name if it stays as it is, else under a name with its hash. What the present
 * manifest names is never written again with other bytes.
 */
const keyOf = ({ path, settled }: SnapshotFile, sha256: string, taken: ReadonlyMap<string, ManifestFile>): string => {
  const isFree = path !== manifestKey && (taken.get(path)?.sha256 ?? sha256) === sha256
  return settled && isFree ? path : `${path}.${sha256.slice(0, 16)}`
}

/** What the store holds now: what this process left there, even if it was never told that it arrived. */
const present = Effect.fnUntraced(function*({ held, writer }: Place) {
  const known = yield* Ref.get(held)
  const found = yield* readManifest
  if (found !== undefined && (found.version === known.version || found.manifest.writer === writer)) return found
  const { address } = yield* ObjectStore
  return yield* foreign(found === undefined
    ? `${address}/${manifestKey} was removed: nothing is written there without it.`
    : `Another process copies this run to ${address}: only one may work on it, so end one of the two.`)
})

/**
 * One copy of the folder as it is now. What did not change is not sent again.
 *
 * Fails with `StorageFailed`; with `FileProblem` if the folder cannot be read, or moved on while it was copied.
 *
 * @param finished the run is: nothing changes any more, and each file gets its own name
 */
export const copyRun = Effect.fn("copyRun")(function*(place: Place, finished: boolean) {
  const { amounts, hashes, held, id, run, writer } = place
  const store = yield* ObjectStore
  const { manifest: before, version } = yield* present(place)
  const taken = new Map(before.files.map((file) => [file.key, file]))
  const there = yield* store.list(mostObjects)
  const { bytes, files, step } = yield* snapshotOf(run, finished)
  Object.assign(amounts, { total: bytes, there: 0 })

  const send = Effect.fnUntraced(function*(file: SnapshotFile) {
    const sent = yield* openSentFile(file.file, store.partSizeOf, hashes)
    const { sha256, size } = sent
    const key = keyOf(file, sha256, taken)
    const named: ManifestFile = { path: file.path, key, size, sha256 }
    if (there.has(key)) {
      amounts.there += size
      if (taken.get(key)?.sha256 === sha256) return named
      const label = yield* store.label(key) // of a copy that broke off, or somebody else's
      if (label?.run !== id) return yield* foreign(`${store.address}/${key} was not made by this run, so it is not overwritten: remove it, or choose another --storage-path.`)
      if (label.sha256 === sha256) return named
      amounts.there -= size
    }
    yield* store.upload(key, { ...sent, arrived: (bytes) => void (amounts.there += bytes) }, { run: id, sha256 })
    return named
  }, Effect.scoped)
  const named = yield* Effect.forEach(files, send, { concurrency: atOnce })

  const manifest: Manifest = { ...before, writer, step, finished, written: new Date().toISOString(), files: named }
  const isSame = before.finished === finished && JSON.stringify(named) === JSON.stringify(before.files)
  if (!isSame) yield* Ref.set(held, { manifest, version: yield* writeManifest(manifest, version) })

  const keys = new Set([manifestKey, ...named.map(({ key }) => key)])
  const unnamed = [...there].filter((key) => !keys.has(key))
  yield* Effect.forEach(unnamed, Effect.fnUntraced(function*(key) {
    if (taken.has(key) || (yield* store.label(key))?.run === id) yield* store.remove(key)
  }), { concurrency: atOnce, discard: true })
  yield* store.abandonUploads
  return step
}, Effect.scoped)
