/**
 * `pnpm run bench learn`: learning curves. Trains recipes with judges and seeds, measures every policy on the way, and
 * writes docs/learning.md. Two jobs run side by side, one thread each; called again, it goes on where it was stopped.
 *
 *     pnpm run bench learn [--recipes a,b] [--judges perfect,clip,coin] [--seeds 101,102,103] [--steps N] [--every N]
 *         [--peer-steps N] [--held-out N] [--out FOLDER] [--model FOLDER] [--python FILE] [--jobs N] [--docs FOLDER | --no-docs]
 *
 * A recipe may name its own judge: default,trl-5e-4:clip. TRL is slow: with --peer-steps it draws what N of our steps draw.
 */
import { fork } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { embedded } from "../src/system/installed.ts"
import { duration } from "../src/system/progress.ts"
import { flagsOf, Refused, whole } from "./flags.ts"
import { type Asked, folderOf, type Job, jobsOf, type JudgeName, judges, nameOf, pointsOf, resultOf, usualRun, writeJson } from "./learn/jobs.ts"
import { writePage } from "./learn/page.ts"
import { recipes } from "./learn/recipes.ts"

/** With and without a judge. */
const recipeNames = Object.keys(recipes).flatMap((name) => [name, ...judges.map((judge) => `${name}:${judge}`)])

const options = {
  recipes: { type: "string", default: "default" },
  judges: { type: "string", default: "perfect,clip,coin" },
  seeds: { type: "string", default: "101,102,103" },
  steps: { type: "string" },
  every: { type: "string" },
  "peer-steps": { type: "string" },
  "held-out": { type: "string", default: "256" },
  out: { type: "string", default: "runs/learn" },
  model: { type: "string", default: embedded("policy") },
  python: { type: "string" },
  jobs: { type: "string", default: "2" },
  docs: { type: "string", default: path.join(import.meta.dirname, "../docs") },
  "no-docs": { type: "boolean", default: false }
} as const

const listed = (flag: string, text: string, known?: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = [...new Set(text.split(",").map((name) => name.trim()).filter((name) => name !== ""))]
  const unknown = known === undefined ? undefined : names.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Refused(`--${flag} has "${unknown}": choose from ${known!.filter((name) => !name.includes(":")).join(", ")}.`)
  if (names.length === 0) throw new Refused(`--${flag} names nothing.`)
  return names
}

/** @param usualSteps those of the default run */
const read = (args: ReadonlyArray<string>, usualSteps: number) => {
  const given = flagsOf(args, options)
  const steps = given.steps === undefined ? usualSteps : whole("steps", given.steps, 1)
  const every = given.every === undefined ? Math.max(1, Math.round(steps / 7)) : whole("every", given.every, 1)
  const peerSteps = given["peer-steps"] === undefined ? steps : whole("peer-steps", given["peer-steps"], 1)
  if (!pointsOf({ every, steps }).includes(peerSteps)) {
    throw new Refused(`--peer-steps is ${peerSteps}: our policies are measured after ${pointsOf({ every, steps }).join(", ")} steps; give one of these, or change --every.`)
  }
  const heldOut = whole("held-out", given["held-out"], 8)
  const usual = listed("judges", given.judges, judges) as ReadonlyArray<JudgeName>
  const asked: Asked = {
    model: path.resolve(given.model),
    recipes: listed("recipes", given.recipes, recipeNames).map((name) => {
      const [recipe, judge] = name.split(":") as [string, JudgeName?]
      return [recipe, judge === undefined ? usual : [judge]] as const
    }),
    seeds: listed("seeds", given.seeds).map((seed) => whole("seeds", seed, 0)),
    steps,
    every,
    peerSteps,
    heldOut,
    choice: Math.ceil(heldOut / 2)
  }
  const peer = asked.recipes.find(([name]) => recipes[name]!.by === "trl")
  if (peer !== undefined && given.python === undefined) {
    throw new Refused(`${peer[0]} needs TRL: install it as bench/peers/README.md says, and give that Python as --python.`)
  }
  /** What belongs to this machine is left out. */
  const command = [
    "npx -y pnpm@10 run bench learn",
    `--recipes ${given.recipes}`,
    `--judges ${given.judges}`,
    `--seeds ${given.seeds}`,
    `--steps ${steps}`,
    `--every ${every}`,
    ...peerSteps === steps ? [] : [`--peer-steps ${peerSteps}`],
    `--held-out ${heldOut}`,
    ...peer === undefined ? [] : ["--python PYTHON"]
  ].join(" \\\n  ")
  return { asked, command, out: path.resolve(given.out), python: given.python ?? "", atOnce: whole("jobs", given.jobs, 1), docs: given["no-docs"] ? undefined : path.resolve(given.docs) }
}

const say = (line: string) => process.stderr.write(`${line}\n`)

/** Starts a job's process; its lines are shown behind its name. */
const startJob = (out: string, job: Job, python: string) => {
  const folder = folderOf(out, job)
  writeJson(path.join(folder, "job.json"), job)
  const child = fork(path.join(import.meta.dirname, "learn/job.ts"), [folder, python], { silent: true })
  let last = ""
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream }).on("line", (line) => {
      last = line
      say(`[${nameOf(job)}] ${line}`)
    })
  }
  const ended = new Promise<string | undefined>((resolve) => child.once("close", (code) => resolve(code === 0 ? undefined : last || `it ended with ${code}`)))
  return { ended, stop: () => child.kill("SIGTERM") }
}

/** Runs the jobs that have no result yet, and returns what became of those that failed. */
const runAll = async (out: string, left: ReadonlyArray<Job>, finished: number, atOnce: number, python: string) => {
  const waiting = [...left]
  const running = new Set<ReturnType<typeof startJob>>()
  const failed: Array<string> = []
  const start = performance.now()
  let [done, stopped] = [0, false]
  const stop = () => {
    stopped = true
    for (const { stop } of running) stop()
  }
  process.on("SIGINT", stop).on("SIGTERM", stop)
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined && !stopped; job = waiting.shift()) {
      const started = startJob(out, job, python)
      running.add(started)
      const wrong = await started.ended
      running.delete(started)
      if (stopped) return
      if (wrong !== undefined) failed.push(`${nameOf(job)}: ${wrong}`)
      done++
      const each = (performance.now() - start) / 1000 / done
      const remaining = left.length - done
      say(`${finished + done} of ${finished + left.length} done: ${nameOf(job)}${remaining > 0 ? `. ${duration(each)} a job, ${duration(each * remaining)} left` : ""}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  process.off("SIGINT", stop).off("SIGTERM", stop)
  return { failed, stopped }
}

export const benchLearn = async (args: ReadonlyArray<string>): Promise<number> => {
  try {
    const usual = await Effect.runPromise(usualRun)
    const { asked, atOnce, command, docs, out, python } = read(args, usual.steps)
    const jobs = await Effect.runPromise(jobsOf(asked).pipe(Effect.provide(NodeServices.layer)))
    fs.mkdirSync(out, { recursive: true })
    const left = jobs.filter((job) => resultOf(out, job) === undefined)
    say(`${out}: ${jobs.length - left.length} of ${jobs.length} jobs are done.`)
    const { failed, stopped } = await runAll(out, left, jobs.length - left.length, atOnce, python)
    const results = jobs.map((job) => resultOf(out, job)).filter((result) => result !== undefined)
    if (stopped) say("Stopped: the same command goes on from here.")
    if (!stopped && docs !== undefined && results[0]?.recipe === null && results.length > 1) writePage(docs, results, { command, usual: usual.drawings })
    for (const line of failed) say(`Failed: ${line}`)
    return stopped || failed.length > 0 ? 1 : 0
  } catch (cause) {
    say(cause instanceof Error ? cause.message : String(cause))
    return 1
  }
}
