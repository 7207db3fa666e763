/**
 * A run folder (`runs/<name>/`): what it holds and in which order it is written. Other tools rely on these names.
 *
 * config.json comes first, then metrics.jsonl and preferences.jsonl step by step, checkpoints/step-N/ whole or not at
 * all, and last adapter/, summary.json and report.html. preferences.jsonl is empty if a run learns from advantages. A
 * stopped run continues from run.db. The process that works here holds run.lock.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import type { Base, Card } from "../model/adapter.ts"
import type { Preference, StepReport } from "../domain.ts"
import { explain, FileProblem, writeFile } from "../system/files.ts"
import { parameterFiles } from "../model/parameter-files.ts"
import type { LoraConfig } from "../engine/weights/parameters.ts"
import type { OptimizerState } from "../stages/Optimizer.ts"
import { RunState, type StoredPreference } from "../stages/RunState.ts"
import { isFree, makeFolders, removeFolders } from "../system/folders.ts"

export interface RunFolder {
  readonly path: string
  readonly file: (name: string) => string
  /** Folders that were made for it, outermost first. */
  readonly made: ReadonlyArray<string>
}

/** An existing folder as a run folder. */
export const runFolder = (at: string): RunFolder => ({ path: at, file: (name) => path.join(at, name), made: [] })

/** Files that a process may have left if it was killed before its run began. */
const unbegun: ReadonlySet<string> = new Set(["run.lock", "run.lock-journal", "config.json.part"])

/** Whether a folder holds a run, begun or finished. */
export const holdsRun = (at: string): boolean => {
  try {
    return "max_steps" in JSON.parse(fs.readFileSync(path.join(at, "config.json"), "utf8"))
  } catch {
    return fs.existsSync(path.join(at, "metrics.jsonl")) && fs.existsSync(path.join(at, "run.db"))
  }
}

/** Fails if the folder holds the start of a run, or anything that a run did not make. */
export const needUnused = (at: string): Effect.Effect<void, FileProblem> =>
  Effect.suspend(() => {
    const fail = (message: string) => Effect.fail(new FileProblem({ message }))
    try {
      if (isFree(at) || fs.readdirSync(at).every((name) => unbegun.has(name))) return Effect.void
    } catch (cause) {
      return fail(`The output folder ${at} cannot be written to (${explain(cause)}): choose another with --out.`)
    }
    return fail(
      holdsRun(at)
        ? `${at} holds a run already: choose another folder with --out, or continue that run with --resume ${at}`
        : `${at} holds files that vequinox did not make, so it changes nothing there: choose a new or empty folder with --out.`
    )
  })

/**
 * Makes the folder and checks that it can be written to.
 *
 * @param given its path; if empty, a new folder under runs/ named after the time and the seed
 */
export const openRunFolder = Effect.fn("openRunFolder")(function*(given: string, seed: number, now: Date) {
  const stamp = now.toISOString().slice(0, 19).replaceAll(":", "-")
  const at = path.resolve(given === "" ? path.join("runs", `${stamp}-seed-${seed}`) : given)
  yield* needUnused(at)
  const made = yield* Effect.try({
    try: () => {
      const made = makeFolders(at)
      fs.accessSync(at, fs.constants.W_OK)
      return made
    },
    catch: (cause) =>
      new FileProblem({ message: `The output folder ${at} cannot be written to (${explain(cause)}): choose another with --out.` })
  })
  return { ...runFolder(at), made } satisfies RunFolder as RunFolder
})

/** Which of a server's checkpoints hold the run's weights, where a server trains it. */
export const savedFile = "tinker.jsonl"

/** Removes everything of a run that failed before it began; other files in its folder stay. */
export const abandonUnbegun = (run: RunFolder): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const name of ["config.json", "run.db", "run.db-wal", "run.db-shm", "run.lock", "run.lock-journal", savedFile]) fs.rmSync(run.file(name), { force: true })
    removeFolders(run.made)
  })

/** Writes `adapter/`: what peft loads onto the base, with its model card. */
export const writeAdapter = (
  run: RunFolder,
  state: OptimizerState,
  lora: LoraConfig | undefined,
  base: Base,
  card: Card
) =>
  Effect.forEach(
    parameterFiles(state.parameters, lora, base, card),
    ([name, bytes]) => writeFile(run.file(path.join("adapter", name)), bytes),
    { discard: true }
  )

/** A preference in its stored form. */
export const storedPreference = ({ chosen, label, prompt, rejected, verdict, weight }: Preference): StoredPreference => ({
  step: chosen.step,
  policyVersion: chosen.policyVersion,
  prompt: prompt.text,
  chosen: chosen.svg,
  rejected: rejected.svg,
  judge: verdict.by,
  confidence: verdict.confidence,
  label,
  weight
})

/** A preference in TRL's form (conversational), with its origin beside it. */
export const preferenceLine = (o: StoredPreference): string =>
  JSON.stringify({
    prompt: [{ role: "user", content: o.prompt }],
    chosen: [{ role: "assistant", content: o.chosen }],
    rejected: [{ role: "assistant", content: o.rejected }],
    step: o.step,
    policy_version: o.policyVersion,
    judge: o.judge,
    confidence: o.confidence,
    label: o.label,
    weight: o.weight
  }) + "\n"

const reportLine = ({ metrics, policyVersion, step }: StepReport): string => JSON.stringify({ step, policyVersion, ...metrics }) + "\n"

const cannotWrite = (file: string) => (cause: unknown) => new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` })

/** Appends one step's lines to metrics.jsonl and preferences.jsonl. Both files can be made again from the run's state. */
export const appendStep = (run: RunFolder, report: StepReport, preferences: ReadonlyArray<StoredPreference>) =>
  Effect.forEach(
    [["metrics.jsonl", reportLine(report)], ["preferences.jsonl", preferences.map(preferenceLine).join("")]] as const,
    ([name, lines]) => Effect.try({ try: () => fs.appendFileSync(run.file(name), lines), catch: cannotWrite(run.file(name)) }),
    { discard: true }
  )

/** The appended lines are on disk when this returns. */
export const syncSteps = (run: RunFolder) =>
  Effect.forEach(["metrics.jsonl", "preferences.jsonl"], (name) =>
    Effect.try({
      try: () => {
        const fd = fs.openSync(run.file(name), "a")
        try {
          fs.fsyncSync(fd)
        } finally {
          fs.closeSync(fd)
        }
      },
      catch: cannotWrite(run.file(name))
    }), { discard: true })

/** Writes both files anew from the state, whatever a killed process wrote last. */
export const rewriteSteps = Effect.fn("rewriteSteps")(function*(run: RunFolder) {
  const state = yield* RunState
  yield* writeFile(run.file("metrics.jsonl"), (yield* state.reports).map(reportLine).join(""))
  const file = run.file("preferences.jsonl")
  const part = `${file}.part`
  const open = Effect.try({ try: () => fs.openSync(part, "w"), catch: cannotWrite(file) })
  yield* Effect.acquireUseRelease(
    open,
    (fd) => state.eachPreference((preference) => fs.writeFileSync(fd, preferenceLine(preference))),
    (fd) => Effect.sync(() => fs.closeSync(fd))
  )
  yield* Effect.try({ try: () => fs.renameSync(part, file), catch: cannotWrite(file) })
})
