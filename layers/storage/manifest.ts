/**
 * `manifest.json` below a run's prefix: every file of the copy with its size and SHA-256. It is written last, so what it
 * names is there and whole; an object that it does not name is no part of the copy. It is strangers' text: no path of it
 * leaves the folder that it is downloaded into.
 */
import { Effect, Schema } from "effect"
import { ObjectStore, StorageFailed } from "../../src/stages/ObjectStore.ts"

export const manifestKey = "manifest.json"

/** Bytes: some hundred thousand files. */
const longestManifest = 64e6

/** A path below a folder, with slashes; the same rule for keys. */
const isInside = (text: string): boolean =>
  text.length <= 1024 && !/[\\\p{Cc}:]/u.test(text) && text.split("/").every((part) => part !== "" && part !== "." && part !== "..")
const Inside = Schema.String.check(Schema.makeFilter((text: string) => isInside(text) || "a path below the folder"))

const ManifestFile = Schema.Struct({
  path: Inside,
  /** Below the prefix; the path itself, or the path and a part of the hash. */
  key: Inside,
  /** Bytes. */
  size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  /** Hex. */
  sha256: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))
})
export type ManifestFile = typeof ManifestFile.Type

export const Manifest = Schema.Struct({
  format: Schema.Literal("vequinox-run"),
  version: Schema.Literal(1),
  /** The run's id; a prefix belongs to one run. */
  run: Schema.String,
  /** The process that wrote it, by an id of its own. */
  writer: Schema.String,
  /** Of its newest checkpoint. */
  step: Schema.Int,
  finished: Schema.Boolean,
  /** When it was written, ISO 8601. */
  written: Schema.String,
  files: Schema.Array(ManifestFile)
})
export type Manifest = typeof Manifest.Type

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Manifest))

/** The manifest, and which version of the object it is; undefined if there is none. */
export const readManifest = Effect.gen(function*() {
  const { address, read } = yield* ObjectStore
  const found = yield* read(manifestKey, longestManifest)
  if (found === undefined) return undefined
  const manifest = yield* decode(Buffer.from(found.bytes).toString("utf8")).pipe(
    Effect.filterOrFail(({ files }) => new Set(files.map(({ path }) => path)).size === files.length),
    Effect.mapError(() => new StorageFailed({ message: `${address}/${manifestKey} is not of a run's copy, or is damaged: check the address.`, passes: false }))
  )
  return { manifest, version: found.version }
})

/** @returns the version of the written object. Fails for good if another process wrote one since `replaces`. */
export const writeManifest = Effect.fnUntraced(function*(manifest: Manifest, replaces: string | undefined) {
  const { write } = yield* ObjectStore
  return yield* write(manifestKey, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`), replaces)
})
