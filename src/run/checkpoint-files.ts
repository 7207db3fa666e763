/** The files of a checkpoint's folder: state.json names each with its hash, so one flipped bit anywhere is seen. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Schema } from "effect"
import { explain } from "../system/files.ts"

export const manifestFile = "state.json"

/** Names of a run's checkpoints, `step-N`, in the order of their steps. @param folder where they lie; it may be missing */
export const checkpointNames = (folder: string): ReadonlyArray<string> =>
  (fs.existsSync(folder) ? fs.readdirSync(folder) : [])
    .filter((name) => /^step-\d+$/.test(name))
    .toSorted((a, b) => Number(a.slice(5)) - Number(b.slice(5)))

const KeptState = Schema.Struct({ version: Schema.Int, updates: Schema.Int })

const Manifest = Schema.Struct({
  version: Schema.Int,
  updates: Schema.Int,
  /** What the learning rate is multiplied with; without it, 1. */
  rate: Schema.optionalKey(Schema.Finite),
  /** The states that the run could go back to (steps/step-back.ts). */
  kept: Schema.optionalKey(Schema.Struct({ good: Schema.optionalKey(KeptState), next: Schema.optionalKey(KeptState) })),
  /** SHA-256 of the parameters' file, hex; `files` has it too. */
  sha256: Schema.String,
  /** SHA-256 of every other file by its name, hex. */
  files: Schema.Record(Schema.String, Schema.String)
})
export type Manifest = typeof Manifest.Type
const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Manifest))

/** Hex. */
export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex")

/** SHA-256 of a file of any size, hex. */
const hashFile = (file: string): string => {
  const hash = createHash("sha256")
  const piece = new Uint8Array(2 ** 20)
  const fd = fs.openSync(file, "r")
  try {
    for (let got = fs.readSync(fd, piece); got > 0; got = fs.readSync(fd, piece)) hash.update(piece.subarray(0, got))
  } finally {
    fs.closeSync(fd)
  }
  return hash.digest("hex")
}

export interface Fault {
  readonly file: string
  /** An `unread` file may be whole: the disk, or a permission, prevented reading it. */
  readonly kind: "missing" | "changed" | "unread"
  /** The part of a sentence that follows the file's name. */
  readonly text: string
}

export interface CheckedFiles {
  /** Undefined if state.json cannot be read as a manifest, or is not the committed one. */
  readonly manifest: Manifest | undefined
  /** What is wrong with the first bad file. */
  readonly fault: Fault | undefined
}

const faultOf = (folder: string, file: string, isRight: (at: string) => boolean): Fault | undefined => {
  try {
    return isRight(path.join(folder, file)) ? undefined : { file, kind: "changed", text: "is not as it was written" }
  } catch (cause) {
    return ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "")
      ? { file, kind: "missing", text: "is missing" }
      : { file, kind: "unread", text: `cannot be read: ${explain(cause)}` }
  }
}

/**
 * Reads every file to its end.
 * @param committed hash that state.json must have; without it, state.json is trusted
 */
export const checkFiles = (folder: string, committed?: string): CheckedFiles => {
  const read: { manifest?: Manifest } = {}
  const fault = faultOf(folder, manifestFile, (at) => {
    const bytes = fs.readFileSync(at)
    if (committed !== undefined && sha256(bytes) !== committed) return false
    read.manifest = decode(bytes.toString("utf8"))
    return true
  })
  if (read.manifest === undefined) return { manifest: undefined, fault }
  for (const [file, hash] of Object.entries(read.manifest.files)) {
    const wrong = faultOf(folder, file, (at) => hashFile(at) === hash)
    if (wrong !== undefined) return { manifest: read.manifest, fault: wrong }
  }
  return { manifest: read.manifest, fault: undefined }
}
