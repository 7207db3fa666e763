/** A few steps of the real command, and the seconds/* that it writes of them. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Schema } from "effect"
import { median } from "../median.ts"

export const stageNames = ["sample", "render", "judge", "train", "wait", "step"] as const
export type Stages = Readonly<Record<(typeof stageNames)[number], number>>

const Line = Schema.fromJsonString(Schema.Struct(Object.fromEntries(stageNames.map((name) => [`seconds/${name}`, Schema.Finite]))))
const decode = Schema.decodeUnknownSync(Line)

/** The first steps load models and fill the pipeline. */
const skipped = 3

/**
 * Seconds of a step by stage, medians. Stages overlap, so they add up to more than the step.
 *
 * @param out a run folder that does not exist yet
 */
export const stagesOf = async (folder: string, prompts: number, steps: number, out: string): Promise<Stages> => {
  const flags = ["--model", folder, "--prompts-per-step", prompts, "--max-steps", skipped + steps, "--eval-prompts", 0, "--output-dir", out]
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "../../src/main.ts"), "train", ...flags.map(String)], { stdio: ["ignore", "ignore", "pipe"] })
  const stop = () => void child.kill()
  process.once("exit", stop)
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => void (said = (said + text).slice(-2000)))
  const code = await new Promise((resolve) => child.on("close", resolve))
  process.off("exit", stop)
  if (code !== 0) throw new Error(`the run ended with ${code}: ${said.trim().split("\n").at(-1)}`)
  const lines = fs.readFileSync(path.join(out, "metrics.jsonl"), "utf8").trim().split("\n").slice(skipped).map((line) => decode(line))
  return Object.fromEntries(stageNames.map((name) => [name, median(lines.map((line) => line[`seconds/${name}`]!))])) as Stages
}
