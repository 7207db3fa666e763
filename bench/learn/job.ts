/**
 * One job in a process of its own (../learn.ts starts it): trains, measures the policy at each point, writes result.json.
 * Stopped at any instant, it goes on from the newest checkpoint and the last point when it is started again.
 *
 *     node bench/learn/job.ts FOLDER [PYTHON]
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { openTokenizer } from "../../src/model/tokenizer/tokenizer.ts"
import { run } from "../../src/wiring/run/run.ts"
import { embeddedPrompts } from "../../src/prompts.ts"
import { BadInput } from "../../src/system/errors.ts"
import type { TrainConfig } from "../../src/wiring/settings.ts"
import { type Job, measuredOn, type Point, pointsOf, readJson, type Result, settingsOf, writeJson } from "./jobs.ts"
import { openMeasure } from "./measure.ts"
import * as perfect from "./perfect.ts"
import { type OwnRecipe, recipes, type TrlRecipe } from "./recipes.ts"

/** What training leaves. */
interface Trained {
  readonly seconds: number
  readonly stopped?: string
  /** Steps made, and where the policy is after some of them. */
  readonly steps: number
  readonly at: (step: number) => string
}

const own = Effect.fnUntraced(function*(job: Job, { settings }: OwnRecipe, folder: string) {
  const runFolder = path.join(folder, "run")
  const judge = job.judge === "perfect" ? perfect.layer : job.judge!
  const begun = fs.existsSync(path.join(runFolder, "config.json"))
  const given = begun ? { judge, resume: runFolder } : {
    ...settings,
    judge,
    model_name_or_path: job.model,
    output_dir: runFolder,
    seed: job.seed,
    max_steps: job.steps,
    save_steps: job.every,
    threads: 1,
    ...(job.judge === "perfect" ? { render_size: 64 } : {}), // it looks at no picture
    eval_prompts: 0,
    trust_pairs: 0
  }
  const { summary } = yield* run({ ...given, progress: "plain" })
  const { seconds, steps, stopped } = yield* summary
  return {
    seconds,
    steps,
    ...(stopped === undefined ? {} : { stopped }),
    at: (step) => path.join(runFolder, step === steps ? "adapter" : `checkpoints/step-${step}`)
  } satisfies Trained as Trained
}, Effect.scoped)

/** Runs a program to its end; it is ended with the effect. */
const program = (command: string, args: ReadonlyArray<string>) =>
  Effect.callback<void, BadInput>((resume) => {
    const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, OMP_NUM_THREADS: "1" } })
    child.once("error", ({ message }) => resume(Effect.fail(new BadInput({ message: `${command} cannot be started: ${message}.` }))))
    child.once("exit", (code, signal) =>
      resume(code === 0 ? Effect.void : Effect.fail(new BadInput({ message: `${path.basename(command)} ended with ${code ?? signal}: see above.` }))))
    return Effect.callback<void>((ended) => {
      child.once("exit", () => ended(Effect.void))
      child.kill()
    })
  })

const trl = Effect.fnUntraced(function*(job: Job, recipe: TrlRecipe, c: TrainConfig, folder: string, python: string) {
  const out = path.join(folder, "trl")
  const told = () => readJson<{ readonly seconds: number; readonly step: number }>(path.join(out, "seconds.json"))
  const trained = (seconds: number): Trained => ({ seconds, steps: job.steps, at: (step) => path.join(out, `checkpoint-${step}`) })
  const before = told()
  if (before?.step === job.steps) return trained(before.seconds)
  const { chat } = yield* openTokenizer(job.model)
  const rows = embeddedPrompts(0).train.map(({ text }) => ({
    text,
    prompt: chat([
      ...c.system_prompt === "" ? [] : [{ role: "system", content: c.system_prompt }],
      { role: "user", content: c.prompt_template.replace("{prompt}", () => text) }
    ]) + c.prefill
  }))
  writeJson(path.join(folder, "prompts.json"), { prefill: c.prefill, rows })
  const peers = path.join(import.meta.dirname, "../peers")
  const flags = {
    model: job.model, prompts: path.join(folder, "prompts.json"), out,
    node: process.execPath, server: path.join(peers, "judge-server.ts"), judge: job.judge!,
    steps: job.steps, every: job.every, batch: recipe.batch, rate: recipe.learningRate, rank: recipe.loraRank,
    seed: job.seed, "max-new-tokens": c.max_new_tokens, "max-length": c.max_length
  }
  yield* program(python, [path.join(peers, "online_dpo_trl.py"), ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)])])
  return trained(told()!.seconds)
})

const train = Effect.fnUntraced(function*(job: Job, folder: string, python: string | undefined) {
  if (job.recipe === null) return { seconds: 0, steps: 0, at: () => "" } satisfies Trained as Trained
  const recipe = recipes[job.recipe]!
  if (recipe.by === "vequinox") return yield* own(job, recipe, folder)
  return yield* trl(job, recipe, yield* settingsOf(recipe, job.steps), folder, python!)
})

/** The steps to measure: those asked for that were made, and the last one made. */
const stepsOf = (job: Job, { steps }: Trained): ReadonlyArray<number> =>
  job.recipe === null ? [0] : pointsOf({ every: job.every, steps: Math.max(1, steps) })

const work = Effect.fnUntraced(function*(folder: string, python: string | undefined) {
  const job = readJson<Job>(path.join(folder, "job.json"))!
  const trained = yield* train(job, folder, python)
  const steps = stepsOf(job, trained)
  const { kinds, ...on } = measuredOn(job)
  const policyAt = (step: number) => job.recipe === null ? undefined : trained.at(step)
  const measure = yield* openMeasure(job.model, yield* settingsOf(recipes[job.recipe ?? "default"]!, Math.max(1, job.steps)), on, policyAt(steps[0]!))
  const points = yield* Effect.forEach(steps, Effect.fnUntraced(function*(step) {
    const file = path.join(folder, `points/${step}.json`)
    const before = readJson<Point>(file)
    if (before !== undefined) return before
    const point: Point = { drawings: step * job.drawingsAStep, ...yield* measure(policyAt(step), `measuring after step ${step}`) }
    writeJson(file, point)
    return point
  }))
  const { seconds, stopped } = trained
  writeJson(path.join(folder, "result.json"), { ...job, seconds, ...(stopped === undefined ? {} : { stopped }), kinds, points } satisfies Result)
  // Measured and done: the adapter and the metrics stay.
  fs.rmSync(path.join(folder, "run/checkpoints"), { recursive: true, force: true })
}, Effect.scoped)

const said = (error: unknown): string => error instanceof Error ? error.message : String(error)

// Whoever started it is gone.
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"))
process.channel?.unref()
const [folder, python] = process.argv.slice(2)
NodeRuntime.runMain(
  work(folder!, python).pipe(
    Effect.catch((error) => Effect.sync(() => {
      console.error(said(error))
      process.exitCode = 1
    })),
    Effect.provide(NodeServices.layer)
  )
)
