/** Which layer fills which box of the map: the usual ones as the settings say, or the caller's own. */
import * as path from "node:path"
import { Effect, Layer } from "effect"
import * as bufferSqlite from "../../../layers/buffer/sqlite.ts"
import * as optimizerOnnx from "../../../layers/optimizer/onnx.ts"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import * as samplerOnnx from "../../../layers/sampler/onnx.ts"
import * as samplerOpenai from "../../../layers/sampler/openai.ts"
import * as judgmentsSqlite from "../../../layers/store/judgments.ts"
import * as killedDrawingsSqlite from "../../../layers/store/killed-drawings.ts"
import * as ledgerSqlite from "../../../layers/store/ledger.ts"
import type { Parameters } from "../../engine/weights/tensor.ts"
import type { Judge } from "../../stages/Judge.ts"
import { Policy, type PolicySnapshot } from "../../stages/Policy.ts"
import { SamplerFailed } from "../../stages/Sampler.ts"
import { objectiveOf } from "../../objectives/objectives.ts"
import { samplerUrls } from "../settings.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import { type PlacedLayers, put, type RunServices, type RunStart, type StageFailure } from "./own-layers.ts"
import { quantizedCache, tellQuantizing } from "../quantized-cache.ts"

export interface StageParts extends RunStart {
  /** The parameters that a reference with an adapter, or one that moves, begins with; undefined if it is the base. */
  readonly reference: Parameters | undefined
  /** Versions before the state's that drawings may still be drawn from, oldest first. */
  readonly earlier: ReadonlyArray<PolicySnapshot> | undefined
  readonly judge: Layer.Layer<Judge, StageFailure, RunServices>
  readonly style: ProgressStyle
  /** Tells a person what must not be missed. */
  readonly say: (line: string) => Effect.Effect<void>
}

const sampler = Effect.fnUntraced(function*({ checkpoint, lora, say, settings: c, style, tokenizer }: StageParts) {
  const usual = {
    checkpoint,
    tokenizer,
    format: { systemPrompt: c.system_prompt, promptTemplate: c.prompt_template, prefill: c.prefill },
    sampling: {
      temperature: c.temperature,
      topK: c.top_k,
      topP: c.top_p,
      minP: c.min_p,
      repetitionPenalty: c.repetition_penalty
    },
    maxNewTokens: c.max_new_tokens,
    maxLength: c.max_length,
    stop: "</svg>"
  }
  if (c.sampler === "openai") {
    const folder = path.resolve(c.sampler_adapters === "" ? path.join(c.output_dir, "sampler-adapters") : c.sampler_adapters)
    return samplerOpenai.layer({
      ...usual,
      lora: lora!, // resolveConfig refuses servers where every parameter is trained
      urls: samplerUrls(c),
      engine: c.sampler_flavour,
      run: c.output_dir,
      adapters: folder,
      ownFolder: c.sampler_adapters === "",
      adaptersAt: c.sampler_adapters_at === "" ? folder : c.sampler_adapters_at,
      timeout: c.sampler_timeout,
      maxNumSeqs: c.max_num_seqs,
      tolerance: c.sampler_tolerance,
      needsDrawn: objectiveOf({ lossType: c.loss_type }).learnsFrom === "advantages",
      apiKey: yield* Effect.mapError(samplerOpenai.keyConfig, ({ message }) => new SamplerFailed({ message })),
      note: say
    })
  }
  return samplerOnnx.layer({
    ...usual,
    lora,
    stopMalformed: c.stop_malformed,
    maxNumSeqs: Math.min(c.max_num_seqs, c.prompts_per_batch * c.num_generations),
    precision: c.sampler_precision,
    cache: yield* quantizedCache,
    quantizing: (total) => tellQuantizing(style, total)
  })
})

/** Needs the runtime and the run's database. */
export const stagesOf = Effect.fnUntraced(function*(parts: StageParts, own: PlacedLayers) {
  const { checkpoint, earlier, judge, lora, reference, settings: c, state } = parts
  return Layer.mergeAll(
    // The optimizer comes first: the sampler takes what memory is left.
    put(own.optimizer, optimizerOnnx.layer({ checkpoint, lora, initial: state, reference, ...optimizerOf(c) }), parts),
    put(own.sampler, yield* sampler(parts), parts),
    put(own.renderer, rendererResvg.layer({ size: c.render_size }), parts).pipe(Layer.provide(killedDrawingsSqlite.layer)),
    put(own.judge, judge, parts).pipe(Layer.provide(ledgerSqlite.layer)),
    judgmentsSqlite.layer,
    put(own.buffer, bufferSqlite.layerIn({ maxStaleness: c.max_staleness, staleWeight: c.stale_weight }), parts),
    Policy.layer({ version: state.version, parameters: state.parameters }, c.max_staleness + 1, earlier)
  )
})
