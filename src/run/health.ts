/**
 * Reads what the files of a run folder say about it: how far the run came, what is whole and what is damaged. Writes
 * nothing.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { type StageHistory, stageHistory } from "../curriculum/history.ts"
import type { Alarm } from "../domain.ts"
import { divergence } from "../evaluation/divergence.ts"
import { explain, FileProblem } from "../system/files.ts"
import { checkFiles, checkpointNames } from "./checkpoint-files.ts"

type Numbers = Readonly<Record<string, number>>

export interface CheckpointHealth {
  /** `step-N` */
  readonly name: string
  /** Policy version, null if state.json cannot be read. */
  readonly version: number | null
  /** Undefined: it is whole. */
  readonly damage?: string
}

export interface FolderHealth {
  readonly path: string
  readonly finished: boolean
  /** Steps in metrics.jsonl, and those that config.json asks for. */
  readonly steps: { readonly done: number; readonly asked: number | null }
  readonly judge: string | null
  /** The last step's line of metrics.jsonl. */
  readonly last: Numbers | null
  /** What became of each stage of the curriculum; empty without one. */
  readonly curriculum: ReadonlyArray<StageHistory>
  /** Where it ran away, and what was done. */
  readonly divergence: ReadonlyArray<Alarm>
  /** In the order of their versions. */
  readonly checkpoints: ReadonlyArray<CheckpointHealth>
  /** One sentence each: what is damaged and what to do about it. */
  readonly damage: ReadonlyArray<string>
}

const checkpoint = (folder: string, name: string): CheckpointHealth => {
  const { fault, manifest } = checkFiles(path.join(folder, name))
  return { name, version: manifest?.version ?? null, ...(fault === undefined ? {} : { damage: `${fault.file} ${fault.text}` }) }
}

/** The readable lines of metrics.jsonl, the last one of each step, and what is wrong with the others. */
const metricsOf = (text: string) => {
  const steps = new Map<number, Numbers>()
  const bad: Array<number> = []
  const lines = text.split("\n")
  lines.forEach((line, n) => {
    if (line === "") return
    try {
      const row = JSON.parse(line) as Numbers
      if (typeof row["step"] !== "number") throw new Error("no step")
      steps.set(row["step"], row)
    } catch {
      bad.push(n + 1)
    }
  })
  const torn = bad.at(-1) === lines.length // a whole line would end with a line break
  const damage = bad.flatMap((n) =>
    torn && n === lines.length
      ? [`metrics.jsonl, line ${n}, was cut off while it was written: only that line is lost.`]
      : [`metrics.jsonl, line ${n}, is not a step: remove that line or restore the file from a copy.`]
  )
  return { steps, damage }
}

/**
 * Fails if there is no run.
 * @param given the run folder
 */
export const folderHealth = (given: string): Effect.Effect<FolderHealth, FileProblem> =>
  Effect.suspend(() => {
    const at = path.resolve(given)
    const file = (name: string) => path.join(at, name)
    if (!fs.existsSync(at)) return Effect.fail(new FileProblem({ message: `There is no folder ${given}: check the path.` }))
    if (!fs.existsSync(file("config.json")) && !fs.existsSync(file("metrics.jsonl"))) {
      return Effect.fail(new FileProblem({ message: `${given} is not a run: it has no config.json and no metrics.jsonl. Give a folder that vequinox train wrote.` }))
    }
    const damage: Array<string> = []
    const read = (name: string): string | undefined => {
      try {
        return fs.readFileSync(file(name), "utf8")
      } catch (cause) {
        damage.push(`${name} cannot be read: ${explain(cause)}.`)
        return undefined
      }
    }
    const json = (name: string): Readonly<Record<string, unknown>> => {
      const text = read(name)
      if (text === undefined) return {}
      try {
        return Object(JSON.parse(text))
      } catch {
        damage.push(`${name} is not JSON: restore it from a copy.`)
        return {}
      }
    }
    const config = json("config.json")
    const metrics = metricsOf(read("metrics.jsonl") ?? "")
    const folder = file("checkpoints")
    const checkpoints = checkpointNames(folder).map((name) => checkpoint(folder, name))
    const whole = checkpoints.findLast((each) => each.damage === undefined)
    const instead = whole === undefined ? "no other is whole" : `${whole.name} is whole`
    const last = Math.max(...metrics.steps.keys())
    const finished = fs.existsSync(file("summary.json"))
    const rows = [...metrics.steps].map(([step, metrics]) => ({ step, metrics })).toSorted((a, b) => a.step - b.step)
    return Effect.succeed<FolderHealth>({
      path: at,
      finished,
      steps: { done: metrics.steps.size, asked: typeof config["max_steps"] === "number" ? config["max_steps"] : null },
      judge: typeof config["judge"] === "string" ? config["judge"] : null,
      last: metrics.steps.get(last) ?? null,
      curriculum: stageHistory(config, rows, finished),
      divergence: rows.flatMap(({ metrics, step }) => {
        const message = divergence(metrics)
        return message === undefined ? [] : [{ step, message }]
      }),
      checkpoints,
      damage: [
        ...damage,
        ...metrics.damage,
        ...checkpoints.flatMap(({ damage, name }) => damage === undefined ? [] : [`checkpoints/${name} is damaged (${damage}): a resumed run passes over it; ${instead}.`])
      ]
    })
  })
