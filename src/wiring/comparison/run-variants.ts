/** Trains every variant of a plan with every seed, several runs side by side, each in a process of its own. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { Clock, Deferred, Effect, Ref } from "effect"
import { BadInput } from "../../system/errors.ts"
import { writeFile } from "../../system/files.ts"
import { duration } from "../../system/progress.ts"
import type { AblationPlan, Variant } from "./plan.ts"

export interface VariantRun {
  readonly variant: Variant
  readonly seed: number
  readonly folder: string
}

export const runsOf = (plan: AblationPlan, out: string): ReadonlyArray<VariantRun> =>
  plan.seeds.flatMap((seed) => plan.variants.map((variant) => ({ variant, seed, folder: path.join(out, "runs", `${variant.name}-${seed}`) })))

const isFinished = ({ folder }: VariantRun): boolean => fs.existsSync(path.join(folder, "summary.json"))
const adapterOf = ({ folder }: VariantRun): string => path.join(folder, "adapter")

/** Its settings as a file for `train --config`; JSON is YAML. Runs of other settings under its name are not mixed with it. */
const writeSettings = Effect.fnUntraced(function*(out: string, { after, name, settings }: Variant) {
  const file = path.join(out, "variants", `${name}.json`)
  const text = JSON.stringify(settings, null, 2) + "\n"
  const kept = path.join(out, "variants", `${name}.after`)
  const before = fs.existsSync(file) ? fs.readFileSync(file, "utf8") + (fs.existsSync(kept) ? fs.readFileSync(kept, "utf8") : "") : undefined
  if (before !== undefined && before !== text + (after ?? "")) {
    return yield* new BadInput({ message: `${name} had other settings when ${out} was begun: give the variant another name, or the plan another --out.` })
  }
  yield* writeFile(file, text)
  if (after !== undefined) yield* writeFile(kept, after)
  return file
})

interface RunOptions {
  /** Processes at a time. */
  readonly jobs: number
  /** Of each. */
  readonly threads: number
  readonly say: (line: string) => void
}

/**
 * A process of this program, with this environment: a paid judge needs its key. It is asked to stop with the effect, and waited for: it then
 * saves where it is.
 */
const child = (args: ReadonlyArray<string>, line: (text: string) => void) =>
  Effect.callback<string | undefined>((resume) => {
    const main = process.argv[1]!
    const own = spawn(process.execPath, [...process.execArgv, main, ...args], { stdio: ["ignore", "ignore", "pipe"] })
    let last = ""
    createInterface({ input: own.stderr }).on("line", (text) => {
      last = text
      line(text)
    })
    own.once("error", ({ message }) => resume(Effect.succeed(message)))
    own.once("close", (code) => resume(Effect.succeed(code === 0 ? undefined : last || `it ended with ${code}`)))
    return Effect.callback<void>((ended) => {
      if (own.exitCode !== null || own.signalCode !== null) return ended(Effect.void)
      own.once("close", () => ended(Effect.void))
      own.kill("SIGTERM")
    })
  })

/** Runs what is not finished. Fails with the runs that failed, after all others have ended. */
export const runVariants = Effect.fn("runVariants")(function*(plan: AblationPlan, out: string, { jobs, say, threads }: RunOptions) {
  const files = new Map<string, string>()
  for (const variant of plan.variants) files.set(variant.name, yield* writeSettings(out, variant))
  const runs = runsOf(plan, out)
  const left = runs.filter((run) => !isFinished(run))
  say(`${runs.length - left.length} of ${runs.length} runs are done.`)
  const started = yield* Clock.currentTimeMillis
  const done = yield* Ref.make(0)
  const failed = yield* Ref.make<ReadonlyArray<string>>([])
  const ends = new Map(runs.map((run) => [run, Deferred.makeUnsafe<void>()]))
  const nameOf = ({ seed, variant }: VariantRun) => `${variant.name}, seed ${seed}`
  const one = Effect.fnUntraced(function*(run: VariantRun) {
    const before = runs.find(({ seed, variant }) => seed === run.seed && variant.name === run.variant.after)
    if (before !== undefined && !isFinished(before)) yield* Deferred.await(ends.get(before)!)
    if (before !== undefined && !isFinished(before)) {
      yield* Ref.update(failed, (all) => [...all, `${nameOf(run)}: what it starts after did not finish`])
    } else {
      const begun = fs.existsSync(path.join(run.folder, "config.json"))
      const args = begun ? ["train", "--resume", run.folder] : [
        "train", "--config", files.get(run.variant.name)!, "--seed", String(run.seed), "--out", run.folder,
        ..."threads" in run.variant.settings ? [] : ["--threads", String(threads)],
        ...before === undefined ? [] : ["--adapter", adapterOf(before)]
      ]
      const wrong = yield* child(args, (text) => say(`[${nameOf(run)}] ${text}`))
      // A run that diverged and stopped has a result, and says so.
      if (wrong !== undefined && !isFinished(run)) yield* Ref.update(failed, (all) => [...all, `${nameOf(run)}: ${wrong}`])
      const now = yield* Ref.updateAndGet(done, (n) => n + 1)
      const each = ((yield* Clock.currentTimeMillis) - started) / 1000 / now
      say(`${runs.length - left.length + now} of ${runs.length} runs are done: ${nameOf(run)}${now < left.length ? `. ${duration(each)} a run, ${duration(each * (left.length - now))} left` : ""}`)
    }
    yield* Deferred.succeed(ends.get(run)!, undefined)
  })
  yield* Effect.forEach(left, one, { concurrency: jobs, discard: true })
  const wrong = yield* Ref.get(failed)
  if (wrong.length > 0) {
    return yield* new BadInput({ message: `${wrong.length} of ${runs.length} runs failed, and the same command tries them again. ${wrong[0]!.replace(/\.$/, "")}.` })
  }
  return runs
})
