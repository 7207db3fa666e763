/** What `vequinox sft` leaves: a checkpoint or an adapter, training.json, and a sentence. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { adapterFiles } from "../model/adapter.ts"
import { companionFiles } from "../model/model-folder.ts"
import type { LoraConfig } from "../engine/weights/parameters.ts"
import { encodeSafetensors } from "../engine/weights/safetensors.ts"
import { readBytes, writeFile, writeFolder } from "../system/files.ts"
import type { Trained } from "./sft-loop.ts"
import type { SftRules } from "./sft-rules.ts"

/** Which evaluation the written parameters are of, for training.json. Empty where nothing was measured. */
export const resultOf = ({ made, watched: { best, starts } }: Trained, { loadBest, stages }: Pick<SftRules, "loadBest" | "stages">) => ({
  ...best !== undefined && { best_step: best.step, best_eval_loss: best.loss, written_step: loadBest ? best.step : made, last_step: made },
  ...stages > 1 && { stage_starts: starts.map((steps) => steps + 1) }
})

/** @param model its name, for people */
export const sentenceOf = (o: { readonly out: string; readonly steps: number; readonly model: string }, trained: Trained, rows: number, { loadBest }: SftRules): string => {
  const { loss, made, watched: { best } } = trained
  const last = `loss ${loss.toFixed(3)} after ${made} steps on ${rows} rows, from ${o.model}.`
  const early = made < o.steps ? ` Ended ${o.steps - made} steps early: eval_loss had not improved.` : ""
  const which = best === undefined ? "" : loadBest
    ? ` The parameters are those of step ${best.step}, which had the lowest eval_loss (${best.loss.toFixed(3)}).`
    : ` The parameters are those of the last step; the lowest eval_loss was ${best.loss.toFixed(3)} at step ${best.step}.`
  return `Wrote ${o.out}: ${last}${early}${which}`
}

interface Result {
  readonly out: string
  readonly saveDtype: "F32" | "F16" | "BF16"
  /** Folder of the model that was trained, and what its adapter says that it belongs to. */
  readonly folder: string
  readonly base: Parameters<typeof adapterFiles>[2]
  readonly lora: LoraConfig | undefined
  readonly parameters: Trained["parameters"]
  /** training.json. */
  readonly record: unknown
}

export const writeResult = ({ base, folder, lora, out, parameters, record, saveDtype }: Result) =>
  writeFolder(out, Effect.fnUntraced(function*(part) {
    const write = (name: string, bytes: string | Uint8Array) => writeFile(path.join(part, name), bytes)
    if (lora === undefined) {
      for (const file of ["config.json", ...companionFiles]) {
        const from = path.join(folder, file)
        if (fs.existsSync(from)) yield* write(file, yield* readBytes(from))
      }
      yield* write("model.safetensors", encodeSafetensors(parameters, saveDtype))
    } else {
      for (const [name, bytes] of adapterFiles(parameters, lora, base)) yield* write(name, bytes)
    }
    yield* write("training.json", JSON.stringify(record, null, 1))
  }))
