/** How a run's trainer fits into the memory it may use. */
import { Effect } from "effect"
import { freeMemory, NotEnoughMemory } from "../../../layers/onnx/runtime.ts"
import { extrasOf } from "../../../layers/optimizer/onnx.ts"
import type { TrainConfig } from "../settings.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import { parameterCount, planTrainer, samplerBytes, scorerBytes } from "../../engine/training/memory.ts"
import type { LoraConfig } from "../../engine/weights/parameters.ts"
import { autoPrecision } from "../../engine/weights/quantization.ts"
import type { DecoderConfig } from "../../engine/nets/transformer.ts"

/**
 * The trainer runs that config.json holds in place of those asked for. They depend on the memory that was free at the
 * start, and a resumed run must add up its gradients in the same order.
 *
 * The sampler gets half of what the trainer leaves (layers/sampler/onnx.ts); one prompt's drawings must fit into that. Where
 * servers draw, the comparison with them must fit (layers/sampler/openai.ts).
 */
export const fittingRuns = Effect.fnUntraced(function*(
  c: TrainConfig,
  model: DecoderConfig,
  lora: LoraConfig | undefined
) {
  const asked = { tokens_per_run: c.tokens_per_run, gradient_checkpointing: c.gradient_checkpointing }
  if (c.optimizer !== "onnx") return asked // it trains elsewhere
  const rows = Math.min(c.num_generations, c.max_num_seqs)
  const precision = c.sampler_precision === "auto"
    ? autoPrecision(parameterCount(model), lora !== undefined, "cpu", rows)
    : c.sampler_precision
  const drawing = c.sampler === "openai" ? scorerBytes(model, lora, c.max_length, c.max_length) : 2 * samplerBytes(model, rows, c.max_length, precision, 1 + c.draft_tokens)
  const free = freeMemory() - drawing
  const budget = c.memory_gb > 0 ? Math.min(1e9 * c.memory_gb, free) : free
  const wanted = {
    tokens: c.tokens_per_run,
    length: c.max_length,
    group: c.num_generations,
    checkpointing: c.gradient_checkpointing
  }
  const { objective, options } = optimizerOf(c)
  const { bytes, checkpointing, tokens } = planTrainer(model, lora, wanted, budget, extrasOf(objective, options))
  if (bytes > budget) {
    const gb = (n: number) => `${(n / 1e9).toFixed(1)} GB`
    return yield* new NotEnoughMemory({
      message: `The trainer needs about ${gb(bytes)} at least, and ${
        budget < free ? `--memory-gb gives it ${gb(budget)}` : `${gb(Math.max(0, free))} are free for it`
      }: take a smaller model, fewer candidates per prompt (--k), or a shorter --max-length.`
    })
  }
  return { tokens_per_run: Math.min(c.tokens_per_run, tokens), gradient_checkpointing: checkpointing }
})
