/** What trains in a run, as --optimizer names it. */
import * as path from "node:path"
import { Effect } from "effect"
import * as optimizerOnnx from "../../../layers/optimizer/onnx.ts"
import * as optimizerTinker from "../../../layers/optimizer/tinker.ts"
import { optimizerJob } from "./optimizer-job.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import type { StageParts } from "./stages.ts"
import { serverName } from "./tinker.ts"

export const optimizerLayer = Effect.fnUntraced(function*(parts: StageParts) {
  const { checkpoint, lora, reference, server, settings: c, state } = parts
  if (server !== undefined) return optimizerTinker.layer({ ...server, initial: state, name: serverName(path.basename(c.output_dir)), ...optimizerOf(c) })
  if (c.optimizer === "job") return yield* optimizerJob(parts)
  return optimizerOnnx.layer({ checkpoint, lora, initial: state, reference, ...optimizerOf(c) })
})
