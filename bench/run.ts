/**
 * `pnpm run bench run`: where the seconds of a step go. The real sampler and trainer programs under a run's default settings make a few
 * steps, with onnxruntime's own profile on; every second is put to a part, and both are held against what the machine can do at most.
 *
 *     pnpm run bench run [--shape embedded|135m|0.6b | --model FOLDER] [--prompts N] [--steps N] [--precision float32|int8|int4|dynamic_int8]
 *         [--threads N] [--json]
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { samplerPrecisions } from "../src/engine/weights/quantization.ts"
import { resolveConfig } from "../src/wiring/settings.ts"
import { flagsOf, Refused, whole } from "./flags.ts"
import { limitsOf } from "./run/limits.ts"
import { measure } from "./run/measure.ts"
import { reportOf, tableOf } from "./run/report.ts"
import { modelOf, shapeNames } from "./run/shapes.ts"
import { stagesOf } from "./run/stages.ts"

const options = {
  shape: { type: "string", default: "embedded" },
  model: { type: "string" },
  prompts: { type: "string" },
  steps: { type: "string", default: "3" },
  precision: { type: "string", default: "auto" },
  threads: { type: "string", default: "0" },
  json: { type: "boolean", default: false }
} as const

const oneOf = (flag: string, text: string, known: ReadonlyArray<string>): string => {
  if (!known.includes(text)) throw new Refused(`--${flag} is ${text}: choose from ${known.join(", ")}.`)
  return text
}

const read = (args: ReadonlyArray<string>) => {
  const given = flagsOf(args, options)
  const shape = oneOf("shape", given.shape, shapeNames)
  const usual = given.model !== undefined || shape === "embedded" ? {} : { prompts_per_step: 2 }
  return {
    shape,
    model: given.model,
    json: given.json,
    steps: whole("steps", given.steps, 1, 1000),
    settings: {
      ...usual,
      ...(given.prompts === undefined ? {} : { prompts_per_step: whole("prompts", given.prompts, 1, 1024) }),
      // In a warm-up the first update changes nothing, and a sampler in few bits would not be made anew.
      warmup_steps: 0,
      sampler_precision: oneOf("precision", given.precision, ["auto", ...samplerPrecisions]),
      threads: whole("threads", given.threads, 0, 1024)
    }
  }
}

/** @returns the exit status */
export const benchRun = async (args: ReadonlyArray<string>): Promise<number> => {
  try {
    const asked = read(args)
    const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
    process.once("exit", () => fs.rmSync(scratch, { recursive: true, force: true }))
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130)) // heard between two runs
    const settings = await Effect.runPromise(resolveConfig(undefined, asked.settings))
    const model = modelOf(asked.shape, asked.model, scratch)
    const measurement = await measure(model, { settings, steps: asked.steps }, scratch)
    process.stderr.write("  limits of the machine\n")
    const limits = await limitsOf(measurement.threads)
    if (model.speaks) process.stderr.write("  stages of a run\n")
    const prompts = settings.prompts_per_step
    const stages = model.speaks ? await stagesOf(model.folder, prompts, Math.max(5, asked.steps), path.join(scratch, "run")) : undefined
    const report = reportOf({ name: model.name, prompts, drawingsAPrompt: settings.num_generations, measurement, limits, stages })
    console.log(asked.json ? JSON.stringify(report, null, 2) : tableOf(report))
    return 0
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n`)
    return 1
  }
}
