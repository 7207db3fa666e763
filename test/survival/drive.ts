/**
 * The checkpoint and commit path as a run has it, with stages that cost nothing: the same process can be killed, or refused
 * by its disk, at every system call. `node drive.ts FOLDER [late-rename] [advantages] [curriculum]` begins a run
 * there, or goes on with it; `curriculum` lets its prompts widen before each step but the first.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as path from "node:path"
import { Effect, Layer } from "effect"
import * as bufferSqlite from "../../layers/buffer/sqlite.ts"
import * as judgeFake from "../../layers/judge/fake.ts"
import * as judgmentsSqlite from "../../layers/store/judgments.ts"
import * as optimizerFake from "../../layers/optimizer/fake.ts"
import * as rendererCircles from "../../layers/renderer/circles.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import { lockRun } from "../../layers/store/run-lock.ts"
import * as runStateSqlite from "../../layers/store/run-state.ts"
import * as samplerFake from "../../layers/sampler/fake.ts"
import type { Stage } from "../../src/curriculum/course.ts"
import { newestGood } from "../../src/run/checkpoints.ts"
import type { Prompt } from "../../src/domain.ts"
import { defaultPipeline } from "../../src/steps/config.ts"
import { promptOf } from "../../src/prompts.ts"
import { runFolder } from "../../src/run/folder.ts"
import { Policy } from "../../src/stages/Policy.ts"
import { RunState } from "../../src/stages/RunState.ts"
import { Sampler, type SampleRequest } from "../../src/stages/Sampler.ts"
import { runTraining } from "../../src/run/training-run.ts"

export const steps = 3
const maxStaleness = 1

/** What a run that has ended came to, whatever happened on the way. */
export interface Driven {
  /** SHA-256 of the final parameters, and of all that was drawn, judged, trained and reported. */
  readonly result: string
  /** Steps that the process went on from, and checkpoints that it refused. */
  readonly from: number
  readonly refused: ReadonlyArray<string>
}

const silent = { tick: () => Effect.void, note: () => Effect.void, end: Effect.void }
const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex")
const tables = {
  candidates: "step, prompt_id, idx, svg, rendering",
  verdicts: "step, prompt_id, a, b, outcome, confidence",
  lessons: "step, prompt_id, candidate, rejected, signal, weight, consumed_by_step, dropped_at_step",
  judgments: "step, prompt_id, shown, verdicts",
  checkpoints: "step, sha256, pairs"
}

const rows = Effect.flatMap(RunDatabase, ({ read }) =>
  read((db) => Object.entries(tables).map(([table, columns]) => db.prepare(`SELECT ${columns} FROM ${table} ORDER BY 1, 2, 3`).all())))

/** What a driven run learns from, and the objective that its card names. */
const objectives = { preferences: "sigmoid", advantages: "reinforce" } as const
export type Lessons = keyof typeof objectives

const prompts = ["a sun", "a plum", "a wheel", "a coin"].map(promptOf)
/** Each stage is passed by the first evaluation in which one drawing in four renders. */
const stages: ReadonlyArray<Stage> = [prompts.slice(0, 1), prompts.slice(0, 3), prompts].map((prompts, n) => ({
  name: String(n), prompts, heldOut: [promptOf("a moon")], measure: "validity", threshold: 0.25, evaluations: 1, every: 1, drawings: 4, keep: 0.5, otherwise: "widen"
}))

/** How a run is driven that is not the usual one. */
export interface How {
  readonly lessons?: Lessons
  readonly curriculum?: boolean
  /** The held-out prompts; by default one. */
  readonly heldOut?: ReadonlyArray<Prompt>
  /** Told of every call of the sampler. */
  readonly onSample?: (request: SampleRequest) => void
}

/** @param saveTotalLimit checkpoints kept */
export const drive = (folder: string, saveTotalLimit = 2, { curriculum = false, heldOut = [promptOf("a moon")], lessons = "preferences", onSample = () => {} }: How = {}) =>
  Effect.gen(function*() {
    const run = runFolder(folder)
    yield* lockRun(run)
    const state = yield* RunState
    const initial = samplerFake.initialPolicy()
    const { found, refused } = yield* newestGood(run, yield* state.checkpoints, undefined, [samplerFake.radius])
    const from = found?.state ?? initial
    const sampler = Layer.effect(
      Sampler,
      Effect.map(Sampler, (own) => Sampler.of({ ...own, sample: (request) => Effect.andThen(Effect.sync(() => onSample(request)), own.sample(request)) }))
    ).pipe(Layer.provide(samplerFake.layer()))
    const boxes = Layer.mergeAll(
      sampler,
      rendererCircles.layer({ size: 16 }),
      judgeFake.layer(),
      judgmentsSqlite.layer,
      bufferSqlite.layerIn({ maxStaleness, staleWeight: 0.9 }),
      optimizerFake.layer({ initial: from }),
      Policy.layer(from, maxStaleness + 1, found?.earlier)
    )
    yield* runTraining({
      pipeline: {
        ...defaultPipeline, steps, firstStep: from.version, oldestVersion: found?.earlier[0]?.version, seed: 3,
        promptsPerStep: 2, promptsPerBatch: 2, k: 3, maxStaleness, lessons, scaleRewards: "group"
      },
      prompts: { train: prompts, heldOut },
      curriculum: curriculum ? stages : undefined,
      run,
      objective: objectives[lessons],
      lora: undefined,
      base: { name: "circles", revision: null },
      initial,
      from: found,
      scorers: [],
      evaluation: { temperatures: [1], bestOf: 2, progress: () => Effect.succeed(silent) },
      trustPairs: 0,
      saveSteps: 1,
      saveTotalLimit,
      progress: silent,
      onStep: () => Effect.void
    }).pipe(Effect.provide(boxes))
    yield* state.finish(steps)
    const timeless = (line: string) => line.replace(/"seconds\/\w+":[\d.e-]+,?/g, "")
    const result = sha256(JSON.stringify([
      sha256(fs.readFileSync(path.join(folder, "adapter/model.safetensors"))),
      fs.readFileSync(path.join(folder, "metrics.jsonl"), "utf8").split("\n").map(timeless),
      fs.readFileSync(path.join(folder, "preferences.jsonl"), "utf8"),
      fs.readdirSync(path.join(folder, "checkpoints")).sort(),
      yield* rows
    ]))
    return { result, from: from.version, refused } satisfies Driven as Driven
  }).pipe(
    Effect.scoped,
    Effect.provide(runStateSqlite.layer.pipe(Layer.provideMerge(RunDatabase.layer({ path: path.join(folder, "run.db") }))))
  )

/** As the command line says it. */
export const howOf = (words: ReadonlyArray<string>): How =>
  ({ lessons: words.includes("advantages") ? "advantages" : "preferences", curriculum: words.includes("curriculum") })

/** A mutant: checkpoints get their names only when the transaction that commits them is over. */
const renameLate = () => {
  const real = process.getBuiltinModule("node:fs")
  const { readdirSync, renameSync } = real
  const late: Array<() => void> = []
  real.renameSync = (from, to) =>
    /checkpoints.step-\d+$/.test(String(to)) ? void late.push(() => renameSync(from, to)) : renameSync(from, to)
  real.readdirSync = ((...args: Parameters<typeof readdirSync>) => {
    late.splice(0).forEach((rename) => rename())
    return readdirSync(...args)
  }) as typeof readdirSync
  syncBuiltinESMExports()
}

if (import.meta.main) {
  const [folder = "", ...how] = process.argv.slice(2)
  if (how.includes("late-rename")) renameLate()
  await Effect.runPromise(Effect.andThen(Effect.sync(() => fs.mkdirSync(folder, { recursive: true })), drive(folder, 2, howOf(how)))).then(
    (driven) => console.log(JSON.stringify(driven)),
    (error: Error) => {
      console.error(error.message)
      process.exitCode = 1
    }
  )
}
