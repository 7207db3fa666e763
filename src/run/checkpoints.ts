/**
 * `checkpoints/step-N/`: the trainable parameters after N steps, AdamW's moments, the reference where it moves, the earlier
 * policy versions that drawings may still be drawn from, the states that the run may go back to, and state.json with the hash of
 * each file.
 * The run's state (stages/RunState.ts) holds the hash of state.json, so one flipped bit anywhere is seen.
 *
 * Order: every file is synced, then the folder, which is renamed, then the folder above; only then is the checkpoint
 * committed. A folder that was not committed is not a checkpoint, and is removed.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import type { Base } from "../model/adapter.ts"
import { openWeights, readParameters } from "../model/model-folder.ts"
import { parameterFiles, weightsFile } from "../model/parameter-files.ts"
import { explain, FileProblem, syncFolder, writeFile, writeFolder } from "../system/files.ts"
import type { LoraConfig } from "../engine/weights/parameters.ts"
import { encodeSafetensors } from "../engine/weights/safetensors.ts"
import type { Parameters } from "../engine/weights/tensor.ts"
import { checkFiles, type Manifest, manifestFile, sha256 } from "./checkpoint-files.ts"
import type { RunFolder } from "./folder.ts"
import type { OptimizerState } from "../stages/Optimizer.ts"
import type { PolicySnapshot } from "../stages/Policy.ts"
import type { Kept } from "../steps/step-back.ts"
import type { CommittedCheckpoint } from "../stages/RunState.ts"

/** The checkpoint is not what was committed, so it is not used; the message says what is wrong with it. */
export class CheckpointDamaged extends Schema.TaggedError<CheckpointDamaged>()("CheckpointDamaged", {
  message: Schema.String
}) {}

export interface CheckpointContent {
  readonly state: OptimizerState
  /** The versions before the state's that the next steps draw from, oldest first. */
  readonly earlier: ReadonlyArray<PolicySnapshot>
  /** The states that the run may go back to (steps/step-back.ts). */
  readonly kept?: Kept | undefined
}

const momentsFile = "optimizer.safetensors"
const referenceFile = "reference.safetensors"
const keptFile = (version: number): string => `kept-${version}.safetensors`
/** Of a kept state, the file that a checkpoint's own state has under this name. */
const keptAs = (version: number, file: string): string => `kept-${version}.${file}`
const versionFile = /^policy-(\d+)\.safetensors$/

const namedIn = (name: keyof Kept, state: OptimizerState | undefined) =>
  state === undefined ? {} : { [name]: { version: state.version, updates: state.updates } }

const checkpointsIn = (run: RunFolder): string => run.file("checkpoints")
const folderOf = (run: RunFolder, step: number): string => path.join(checkpointsIn(run), `step-${step}`)

/**
 * Writes a checkpoint, which is on disk when this returns; commit it under the returned hash. A folder in its place is
 * removed first.
 */
export const writeCheckpoint = Effect.fn("writeCheckpoint")(function*(
  run: RunFolder,
  { earlier, kept = {}, state }: CheckpointContent,
  lora: LoraConfig | undefined,
  base: Base
) {
  const folder = folderOf(run, state.version)
  yield* removeFolder(folder)
  const files = [
    ...parameterFiles(state.parameters, lora, base),
    [momentsFile, encodeSafetensors(state.moments)] as const,
    ...(state.reference === undefined ? [] : [[referenceFile, encodeSafetensors(state.reference)] as const]),
    ...earlier.map(({ parameters, version }) => [`policy-${version}.safetensors`, encodeSafetensors(parameters)] as const),
    // A version has one content: the checkpoint's own is here already.
    ...[kept.good, kept.next].flatMap((each) => each === undefined || each.version === state.version ? [] : [each]).flatMap(({ moments, parameters, reference, version }) => [
      [keptFile(version), encodeSafetensors(parameters)] as const,
      [keptAs(version, momentsFile), encodeSafetensors(moments)] as const,
      ...(reference === undefined ? [] : [[keptAs(version, referenceFile), encodeSafetensors(reference)] as const])
    ])
  ]
  const hashes = Object.fromEntries(files.map(([name, bytes]) => [name, sha256(bytes)]))
  const { rate = 1, updates, version } = state
  const content: Manifest = {
    version,
    updates,
    ...(rate === 1 ? {} : { rate }),
    ...(kept.good === undefined && kept.next === undefined ? {} : { kept: { ...namedIn("good", kept.good), ...namedIn("next", kept.next) } }),
    sha256: hashes[weightsFile(lora)]!,
    files: hashes
  }
  const manifest = JSON.stringify(content, null, 2) + "\n"
  yield* writeFolder(folder, (part) =>
    Effect.forEach([...files, [manifestFile, manifest] as const], ([name, bytes]) => writeFile(path.join(part, name), bytes), { discard: true }))
  return { folder, sha256: sha256(manifest) }
})

/** Fails with `CheckpointDamaged` if it is missing or not what was committed, with `FileProblem` if it cannot be read. */
const verify = Effect.fnUntraced(function*(folder: string, committed: string) {
  const { fault, manifest } = yield* Effect.sync(() => checkFiles(folder, committed))
  switch (fault?.kind) {
    case "missing":
      return yield* new CheckpointDamaged({ message: `The checkpoint ${folder} has no ${fault.file}` })
    case "changed":
      return yield* new CheckpointDamaged({ message: `The checkpoint ${folder} is damaged: ${fault.file} ${fault.text}` })
    case "unread":
      return yield* new FileProblem({ message: `The checkpoint ${folder} cannot be used: ${fault.file} ${fault.text}.` })
    default:
      return manifest!
  }
})

/** @param order names of the parameters in the run's order: sums over them use this order, so it decides bits */
const openCheckpoint = Effect.fn("openCheckpoint")(function*(
  run: RunFolder,
  { sha256, step }: CommittedCheckpoint,
  lora: LoraConfig | undefined,
  order: ReadonlyArray<string>
) {
  const folder = folderOf(run, step)
  const { files, kept = {}, rate, updates, version } = yield* verify(folder, sha256)
  const read = (file: string) => Effect.map(openWeights(folder, file), readParameters)
  const inOrder = (found: Parameters): Parameters => new Map(order.map((name) => [name, found.get(name)!]))
  const versions = fs.readdirSync(folder).flatMap((name) => versionFile.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b)
  const stateIn = Effect.fnUntraced(function*(of: { readonly version: number; readonly updates: number }, weights: string, moments: string, reference: string) {
    return {
      ...of,
      parameters: inOrder(yield* read(weights)),
      moments: yield* read(moments),
      ...(Object.hasOwn(files, reference) ? { reference: inOrder(yield* read(reference)) } : {})
    } satisfies OptimizerState as OptimizerState
  })
  const state = { ...yield* stateIn({ version, updates }, weightsFile(lora), momentsFile, referenceFile), rate }
  const keptState = Effect.fnUntraced(function*(of: { readonly version: number; readonly updates: number } | undefined) {
    if (of === undefined || of.version === version) return of && state
    return yield* stateIn(of, keptFile(of.version), keptAs(of.version, momentsFile), keptAs(of.version, referenceFile))
  })
  return {
    state,
    earlier: yield* Effect.forEach(versions, (version) =>
      Effect.map(read(`policy-${version}.safetensors`), (parameters) => ({ version, parameters: inOrder(parameters) }))),
    kept: { good: yield* keptState(kept.good), next: yield* keptState(kept.next) }
  } satisfies CheckpointContent as CheckpointContent
})

/**
 * The newest checkpoint that is as it was committed, or undefined if there is none, and what is wrong with the newer
 * ones.
 *
 * @param committed newest first
 */
export const newestGood = Effect.fn("newestGood")(function*(
  run: RunFolder,
  committed: ReadonlyArray<CommittedCheckpoint>,
  lora: LoraConfig | undefined,
  order: ReadonlyArray<string>
) {
  const refused: Array<string> = []
  for (const checkpoint of committed) {
    const content = yield* openCheckpoint(run, checkpoint, lora, order).pipe(
      Effect.catchTag("CheckpointDamaged", ({ message }) => Effect.sync(() => void refused.push(message)))
    )
    if (content !== undefined) return { found: { ...checkpoint, ...content }, refused }
  }
  return { found: undefined, refused }
})

const removeFolder = (folder: string) =>
  Effect.try({
    try: () => fs.rmSync(folder, { recursive: true, force: true }),
    catch: (cause) => new FileProblem({ message: `${folder} cannot be removed: ${explain(cause)}.` })
  })

/**
 * Removes everything that is not a committed checkpoint: pruned and damaged ones, and what a killed process left
 * behind.
 */
export const keepOnly = Effect.fn("keepOnly")(function*(run: RunFolder, committed: ReadonlyArray<Pick<CommittedCheckpoint, "step">>) {
  const all = checkpointsIn(run)
  if (!fs.existsSync(all)) return
  const kept = new Set(committed.map(({ step }) => `step-${step}`))
  const others = fs.readdirSync(all).filter((name) => /^step-\d+(\.part-\w+)?$/.test(name) && !kept.has(name))
  yield* Effect.forEach(others, (name) => removeFolder(path.join(all, name)), { discard: true })
  if (others.length > 0) yield* Effect.sync(() => syncFolder(all))
})

/**
 * Steps of checkpoints to forget when a new one is made.
 * @param known steps, newest first
 * @param limit 0 keeps all
 */
export const pruned = (known: ReadonlyArray<number>, limit: number): ReadonlyArray<number> =>
  limit === 0 ? [] : known.slice(Math.max(limit, 2) - 1)
