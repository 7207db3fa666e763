/** Which layer fills which box of the map: the usual ones as the settings say, or the caller's own. */
import { Effect, Layer } from "effect"
import * as optimizerOnnx from "../../../layers/optimizer/onnx.ts"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import * as samplerOnnx from "../../../layers/sampler/onnx.ts"
import type { Parameters } from "../../engine/weights/tensor.ts"
import type { Judge } from "../../stages/Judge.ts"
import { Policy, type PolicySnapshot } from "../../stages/Policy.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import { type PlacedLayers, put, type RunServices, type RunStart, type StageFailure } from "./own-layers.ts"
import type { Store } from "./store.ts"
import { quantizedCache, tellQuantizing } from "../quantized-cache.ts"

export interface StageParts extends RunStart {
  /** The parameters that a reference with an adapter, or one that moves, begins with; undefined if it is the base. */
  readonly reference: Parameters | undefined
  /** Versions before the state's that drawings may still be drawn from, oldest first. */
  readonly earlier: ReadonlyArray<PolicySnapshot> | undefined
  readonly judge: Layer.Layer<Judge, StageFailure, RunServices>
  readonly style: ProgressStyle
}

/** Needs the runtime. */
export const usualSampler = Effect.fnUntraced(function*(
  { checkpoint, lora, settings: c, style, tokenizer }: Pick<StageParts, "checkpoint" | "lora" | "settings" | "style" | "tokenizer">
) {
  return samplerOnnx.layer({
    checkpoint,
    tokenizer,
    format: { systemPrompt: c.system_prompt, promptTemplate: c.prompt_template, prefill: c.prefill },
    lora,
    sampling: {
      temperature: c.temperature,
      topK: c.top_k,
      topP: c.top_p,
      minP: c.min_p,
      repetitionPenalty: c.repetition_penalty
    },
    maxNewTokens: c.max_new_tokens,
    maxLength: c.max_length,
    stop: "</svg>",
    stopMalformed: c.stop_malformed,
    maxNumSeqs: Math.min(c.max_num_seqs, c.prompts_per_batch * c.num_generations),
    precision: c.sampler_precision,
    cache: yield* quantizedCache,
    quantizing: (total) => tellQuantizing(style, total)
  })
})

/** Needs the runtime. */
export const stagesOf = Effect.fnUntraced(function*(parts: StageParts, own: PlacedLayers, store: Store) {
  const { checkpoint, earlier, judge, lora, reference, settings: c, state } = parts
  return Layer.mergeAll(
    // The optimizer comes first: the sampler takes what memory is left.
    put(own.optimizer, optimizerOnnx.layer({ checkpoint, lora, initial: state, reference, ...optimizerOf(c) }), parts),
    put(own.sampler, yield* usualSampler(parts), parts),
    put(own.renderer, rendererResvg.layer({ size: c.render_size }), parts).pipe(Layer.provide(store.killedDrawings)),
    put(own.judge, judge, parts).pipe(Layer.provide(store.ledger)),
    store.judgments,
    put(own.buffer, store.buffer({ maxStaleness: c.max_staleness, staleWeight: c.stale_weight }), parts),
    Policy.layer({ version: state.version, parameters: state.parameters }, c.max_staleness + 1, earlier)
  )
})
