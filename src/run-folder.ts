/**
 * A run folder (`runs/<name>/`): what it holds and in which order it is written. Other tools rely on these names.
 *
 * config.json first, metrics.jsonl a line a step, checkpoints/step-N/ whole or not at all, and last adapter/,
 * preferences.jsonl, summary.json and report.html.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { adapterFiles, type Base } from "./adapter.ts"
import type { Preference, StepReport } from "./domain.ts"
import { FileProblem, writeFile } from "./files.ts"
import type { LoraConfig } from "./numerics/parameters.ts"
import { encodeSafetensors } from "./numerics/safetensors.ts"
import type { OptimizerState } from "./stages/Optimizer.ts"

export interface RunFolder {
  readonly path: string
  readonly file: (name: string) => string
  /** Folders that were made for it, from itself upwards. */
  readonly made: ReadonlyArray<string>
}

/**
 * Makes the folder and checks that it can be written to.
 *
 * @param given where; when empty, a new folder under runs/ named after the moment and the seed
 */
export const openRunFolder = Effect.fn("openRunFolder")(function*(given: string, seed: number, now: Date) {
  const stamp = now.toISOString().slice(0, 19).replaceAll(":", "-")
  const at = path.resolve(given === "" ? path.join("runs", `${stamp}-seed-${seed}`) : given)
  if (fs.existsSync(path.join(at, "config.json"))) { // written once the run really begins
    return yield* new FileProblem({ message: `${at} holds a run already: choose another folder with --out.` })
  }
  const made = yield* Effect.try({
    try: () => {
      const first = fs.mkdirSync(at, { recursive: true })
      fs.accessSync(at, fs.constants.W_OK)
      // Root may write anywhere by permission, yet not on a read-only file system: only writing tells.
      fs.writeFileSync(path.join(at, "metrics.jsonl"), "")
      return first === undefined ? [] : upwards(at, first)
    },
    catch: (cause) =>
      new FileProblem({
        message: `The output folder ${at} cannot be written to (${(cause as NodeJS.ErrnoException).code}): choose another with --out.`
      })
  })
  return { path: at, file: (name) => path.join(at, name), made } satisfies RunFolder as RunFolder
})

const upwards = (from: string, to: string): ReadonlyArray<string> => from === to ? [from] : [from, ...upwards(path.dirname(from), to)]

/** Leaves nothing of a run that failed before it began; what others put into its folder stays. */
export const abandonUnbegun = (run: RunFolder): Effect.Effect<void> =>
  Effect.sync(() => {
    if (fs.existsSync(run.file("config.json"))) return
    for (const name of ["metrics.jsonl", "run.db", "run.db-wal", "run.db-shm"]) fs.rmSync(run.file(name), { force: true })
    try {
      for (const folder of run.made) fs.rmdirSync(folder)
    } catch {
      // Somebody else has put something there.
    }
  })

/** One line of metrics.jsonl; on disk when this returns. */
export const appendMetrics = (run: RunFolder, { metrics, policyVersion, step }: StepReport) =>
  Effect.try({
    try: () => {
      const fd = fs.openSync(run.file("metrics.jsonl"), "a")
      try {
        fs.writeSync(fd, JSON.stringify({ step, policyVersion, ...metrics }) + "\n")
      } finally {
        fs.closeSync(fd)
      }
    },
    catch: (cause) =>
      new FileProblem({
        message: `${run.file("metrics.jsonl")} cannot be written (${(cause as NodeJS.ErrnoException).code}): free some space and start again from the last checkpoint.`
      })
  })

/** How the trainable parameters are written: a PEFT adapter, or a whole checkpoint's weights. */
const parameterFiles = (
  state: OptimizerState,
  lora: LoraConfig | undefined,
  base: Base,
  card: string
): ReadonlyArray<readonly [string, string | Uint8Array]> =>
  lora === undefined
    ? [["model.safetensors", encodeSafetensors(state.parameters)]]
    : adapterFiles(state.parameters, lora, base, card)

/** `checkpoints/step-N/`: the adapter, AdamW's moments, and state.json with the version and the adapter's SHA-256. */
export const writeCheckpoint = Effect.fn("writeCheckpoint")(function*(
  run: RunFolder,
  state: OptimizerState,
  lora: LoraConfig | undefined,
  base: Base
) {
  const final = run.file(path.join("checkpoints", `step-${state.version}`))
  const part = `${final}.part`
  const files = parameterFiles(state, lora, base, "")
  for (const [name, bytes] of files) yield* writeFile(path.join(part, name), bytes)
  yield* writeFile(path.join(part, "optimizer.safetensors"), encodeSafetensors(state.moments))
  const weights = files.find(([name]) => name.endsWith(".safetensors"))![1]
  yield* writeFile(
    path.join(part, "state.json"),
    JSON.stringify({
      version: state.version,
      updates: state.updates,
      sha256: createHash("sha256").update(weights).digest("hex")
    }) + "\n"
  )
  yield* Effect.try({
    try: () => {
      fs.rmSync(final, { recursive: true, force: true })
      fs.renameSync(part, final)
    },
    catch: (cause) => new FileProblem({ message: `${final} cannot be written (${(cause as NodeJS.ErrnoException).code}).` })
  })
  return final
})

/** `adapter/`: what peft loads onto the base, with its model card. */
export const writeAdapter = (
  run: RunFolder,
  state: OptimizerState,
  lora: LoraConfig | undefined,
  base: Base,
  card: string
) =>
  Effect.forEach(
    parameterFiles(state, lora, base, card),
    ([name, bytes]) => writeFile(run.file(path.join("adapter", name)), bytes),
    { discard: true }
  )

/** A preference as TRL reads it (conversational), with where it comes from beside it. */
export const preferenceRow = ({ chosen, label, prompt, rejected, verdict, weight }: Preference) => ({
  prompt: [{ role: "user", content: prompt.text }],
  chosen: [{ role: "assistant", content: chosen.svg }],
  rejected: [{ role: "assistant", content: rejected.svg }],
  step: chosen.step,
  policy_version: chosen.policyVersion,
  judge: verdict.by,
  confidence: verdict.confidence,
  label,
  weight
})
