/** What draws in a run, as --sampler names it. */
import * as path from "node:path"
import { Effect, Layer } from "effect"
import * as samplerOnnx from "../../../layers/sampler/onnx.ts"
import * as samplerOpenai from "../../../layers/sampler/openai.ts"
import * as samplerTinker from "../../../layers/sampler/tinker.ts"
import { objectiveOf } from "../../objectives/objectives.ts"
import { RunState } from "../../stages/RunState.ts"
import { SamplerFailed } from "../../stages/Sampler.ts"
import { quantizedCache, tellQuantizing } from "../quantized-cache.ts"
import { samplerUrls } from "../sampler-server-settings.ts"
import { formatOf, samplingOf } from "./sampling-settings.ts"
import type { StageParts } from "./stages.ts"

const drawing = ({ settings: c, tokenizer }: Pick<StageParts, "settings" | "tokenizer">) =>
  ({ tokenizer, format: formatOf(c), sampling: samplingOf(c), maxNewTokens: c.max_new_tokens, maxLength: c.max_length, stop: "</svg>" })

/** What a sampler of this process needs. */
type Here = Pick<StageParts, "checkpoint" | "lora" | "settings" | "style" | "tokenizer">

const here = Effect.fnUntraced(function*(parts: Here) {
  const { checkpoint, lora, settings: c, style } = parts
  return {
    ...drawing(parts),
    checkpoint,
    lora,
    stopMalformed: c.stop_malformed,
    maxNumSeqs: Math.min(c.max_num_seqs, c.prompts_per_batch * c.num_generations),
    precision: c.sampler_precision,
    cache: yield* quantizedCache,
    quantizing: (total: number) => tellQuantizing(style, total)
  }
})

/** Draws in this process. Needs the runtime. */
export const samplerHere = (parts: Here) => Effect.map(here(parts), samplerOnnx.layer)

/** The same, with drafts from what the run has drawn. */
const drafting = (parts: Here) =>
  Effect.map(here(parts), (options) =>
    Layer.unwrap(Effect.map(RunState, ({ completionsBefore }) =>
      samplerOnnx.layer({
        ...options,
        drafts: {
          tokens: parts.settings.draft_tokens,
          history: (version, tokens) =>
            Effect.mapError(completionsBefore(version, tokens), ({ message }) => new SamplerFailed({ message }))
        }
      }))))

const onServers = Effect.fnUntraced(function*(parts: StageParts) {
  const { checkpoint, lora, say, settings: c } = parts
  const folder = path.resolve(c.sampler_adapters === "" ? path.join(c.output_dir, "sampler-adapters") : c.sampler_adapters)
  return samplerOpenai.layer({
    ...drawing(parts),
    checkpoint,
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
})

export const samplerOf = Effect.fnUntraced(function*(parts: StageParts) {
  const { server, settings: c } = parts
  // The versions that drawings come from, and the one that is compared at the end.
  if (server !== undefined && c.sampler === "tinker") return samplerTinker.layer({ ...drawing(parts), ...server, versions: c.max_staleness + 1 })
  if (c.sampler === "openai") return yield* onServers(parts)
  return yield* c.draft_tokens > 0 ? drafting(parts) : samplerHere(parts)
})
