/**
 * Versions of the policy for other runners: one file each in `policies/` of the run's folder, which all of them share. A file
 * is written whole or not at all, under the hash of its bytes, and a runner draws from it only if that is still its hash.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { type Duration, Effect, Schedule, Semaphore } from "effect"
import { encodeSafetensors, headerLength, parseHeader, toFloat32 } from "../../src/engine/weights/safetensors.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { sha256 } from "../../src/run/checkpoint-files.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { SamplerFailed } from "../../src/stages/Sampler.ts"
import { explain, readBytes, writeFile } from "../../src/system/files.ts"
import type { PolicyFile } from "./work.ts"

/** In the run's folder. */
export const policiesFolder = "policies"

const fileOf = (folder: string, { sha256, version }: PolicyFile): string => path.join(folder, policiesFolder, `version-${version}-${sha256}.safetensors`)

const failed = <A>(work: Effect.Effect<A, { readonly message: string }>) => Effect.mapError(work, ({ message }) => new SamplerFailed({ message }))

/** How many unused files stay beside those in use: the last versions, and the first, which the end is compared with. */
const spare = 4

/** For the optimizer's runner. `use` writes a version where it is missing, and keeps its file until the work has ended. */
export const makePolicyWriter = (folder: string) => {
  const known = new WeakMap<Parameters, string>()
  /** Newest use last. */
  const files = new Map<string, number>()
  const note = (file: string, change: 1 | -1) => {
    const users = (files.get(file) ?? 0) + change
    files.delete(file)
    files.set(file, users)
    const unused = [...files].filter(([, users]) => users === 0)
    for (const [old] of unused.slice(0, -spare)) {
      files.delete(old)
      fs.rmSync(old, { force: true })
    }
  }
  const written = Effect.fnUntraced(function*({ parameters, version }: PolicySnapshot) {
    const before = known.get(parameters)
    const bytes = before === undefined ? encodeSafetensors(parameters) : undefined
    const name = { version, sha256: before ?? sha256(bytes!) }
    known.set(parameters, name.sha256)
    const file = fileOf(folder, name)
    if (!fs.existsSync(file)) yield* failed(writeFile(file, bytes ?? encodeSafetensors(parameters), false))
    return { file, name }
  })
  return {
    use: <A, E, R>(snapshot: PolicySnapshot, work: (name: PolicyFile) => Effect.Effect<A, E, R>): Effect.Effect<A, E | SamplerFailed, R> =>
      Effect.acquireUseRelease(
        Effect.tap(written(snapshot), ({ file }) => Effect.sync(() => note(file, 1))),
        ({ name }) => work(name),
        ({ file }) => Effect.sync(() => note(file, -1))
      )
  }
}

/** Of a run that has finished. */
export const removePolicies = (folder: string) => Effect.sync(() => fs.rmSync(path.join(folder, policiesFolder), { recursive: true, force: true }))

const parametersIn = (file: string, bytes: Uint8Array): Effect.Effect<Parameters, SamplerFailed> =>
  failed(Effect.try({
    try: () => {
      const length = headerLength(bytes.subarray(0, 8), bytes.length)
      const entries = parseHeader(bytes.subarray(8, 8 + length), bytes.length)
      return new Map([...entries].map(([name, { dtype, length, offset, shape }]) => [name, { shape, data: toFloat32(bytes.subarray(offset, offset + length), dtype) }]))
    },
    catch: (cause) => ({ message: `${file} cannot be read: ${explain(cause)}.` })
  }))

/**
 * For any runner. Keeps the last two versions in memory. Fails with `SamplerFailed` where the file is missing or another.
 * @param patience a folder over a network may show a new file some seconds late
 */
export const makePolicyReader = (folder: string, patience: Duration.Input = "15 seconds") => {
  const known = new Map<string, PolicySnapshot>()
  const seen = Schedule.spaced("500 millis").pipe(Schedule.upTo({ duration: patience }))
  const inTurn = Semaphore.makeUnsafe(1) // pieces of one call read it once
  const read = Effect.fnUntraced(function*(name: PolicyFile) {
    const file = fileOf(folder, name)
    const before = known.get(file)
    if (before !== undefined) return before
    const { buffer, byteLength, byteOffset } = yield* failed(readBytes(file)).pipe(Effect.retry({ schedule: seen, while: () => !fs.existsSync(file) }))
    const bytes = new Uint8Array(buffer, byteOffset, byteLength) // a slice of a Buffer would be no copy
    if (sha256(bytes) !== name.sha256) return yield* new SamplerFailed({ message: `${file} is damaged: it is not as it was written.` })
    const snapshot: PolicySnapshot = { version: name.version, parameters: yield* parametersIn(file, bytes) }
    known.set(file, snapshot)
    if (known.size > 2) known.delete(known.keys().next().value!)
    return snapshot
  })
  return (name: PolicyFile) => Semaphore.withPermit(inTurn)(read(name))
}
