/** Sampler: continuous batched decoding with onnxruntime, in few bits or in float32 (layers/onnx/sampler-program.ts). */
import { Effect, Layer, Ref } from "effect"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import { parameterCount, samplerBytes } from "../../src/engine/training/memory.ts"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import { autoPrecision, type SamplerPrecision } from "../../src/engine/weights/quantization.ts"
import { historyTokens } from "../../src/engine/sampling/drafts.ts"
import { plain, type SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import type { QuantizeOptions } from "../../src/model/quantized-weights.ts"
import { candidateSeed, Sampler, SamplerFailed, type SampleRequest } from "../../src/stages/Sampler.ts"
import type { PolicyTokenizer, PromptFormat } from "../../src/model/tokenizer/tokenizer.ts"
import type { DraftHistory } from "../onnx/sampler-program.ts"
import type { Device } from "../onnx/session.ts"
import { reserveDecoding } from "../onnx/reserve-decoding.ts"
import { OnnxRuntime, startProgram } from "../onnx/runtime.ts"
import { tokenizing } from "../../src/model/tokenizer/limits.ts"
import { candidateOf } from "./drawn.ts"
import { promptTokens, roomIn } from "./prompt-tokens.ts"

export interface SamplerOnnxOptions {
  readonly checkpoint: DecoderCheckpoint
  readonly tokenizer: PolicyTokenizer
  readonly format: PromptFormat
  /** Undefined: the policy is a whole set of parameters (full fine-tuning). */
  readonly lora: LoraConfig | undefined
  readonly sampling: SamplingOptions
  /** The most tokens of a candidate. */
  readonly maxNewTokens: number
  /** The most tokens of prompt and completion together. */
  readonly maxLength: number
  /** Sampling ends after the token that completes this text. */
  readonly stop: string
  /**
   * Stop a drawing as soon as it can no longer become well-formed XML: drawings then do not follow the policy's
   * distribution exactly.
   */
  readonly stopMalformed: boolean
  /** The most candidates decoded together; fewer if only fewer fit into half of the memory. */
  readonly maxNumSeqs: number
  /** `auto`: int8 for a model that is large enough to gain, under a LoRA and on the CPU; else float32. */
  readonly precision: SamplerPrecision | "auto"
  /** Where quantized weights are kept for the next run. */
  readonly cache: string
  /** Shows the progress of quantizing. */
  readonly quantizing: QuantizeOptions["progress"]
  /** Default: tokens are drawn one by one. */
  readonly drafts?: DraftsFrom | undefined
}

/**
 * Tokens are drawn several at a time where a draft has foretold them; which tokens, and from which distribution, stays the
 * same. Log-probabilities may differ in their last bits from those drawn one by one, because another number of tokens is read
 * together, and by more where that changes how an activation is rounded to 8 bits; a token differs where its random number is that
 * near the border of two. A resumed run has the same drafts, and so every bit.
 */
export interface DraftsFrom {
  /** Most tokens of a draft, >= 1. */
  readonly tokens: number
  /** What the run has drawn for steps before this version, newest first: the same whenever it is asked (RunState.completionsBefore). */
  readonly history: (version: number, tokens: number) => Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, SamplerFailed>
}

/**
 * Fails with `NotEnoughMemory` before anything is allocated, with `FileProblem` if quantized weights cannot be kept.
 * The thread and its sessions end with the scope.
 */
export const layer = (options: SamplerOnnxOptions) =>
  Layer.effect(
    Sampler,
    Effect.gen(function*() {
      const { checkpoint, drafts, format, lora, maxLength, maxNewTokens, sampling, stop, tokenizer } = options
      const runtime = yield* OnnxRuntime
      const precision = yield* precisionOf(options, runtime.device)
      const bytes = (rows: number) => samplerBytes(checkpoint.config, rows, maxLength, precision, 1 + (drafts?.tokens ?? 0))
      const { maxNumSeqs, quantized } = yield* reserveDecoding("sampler", { ...options, precision }, bytes)
      const tokenTexts = yield* tokenizing(() => tokenizer.tokenTexts).pipe(
        Effect.mapError(({ message }) => new SamplerFailed({ message }))
      )
      const program = yield* startProgram("sampler", {
        checkpoint,
        lora,
        quantized,
        maxLength,
        filters: { minP: sampling.minP > 0 },
        maxNumSeqs,
        draftTokens: drafts?.tokens,
        tokenTexts,
        device: runtime.device,
        spinning: runtime.spinning,
        threads: runtime.threads
      })
      const history = yield* historyOf(drafts)
      const sample = Effect.fn("Sampler.sample")(
        function*({ form, k, policy, prompts, seed, step, temperature }: SampleRequest) {
          const asked = { ...format, ...form }
          const seeds = prompts.map((prompt) =>
            Array.from({ length: k }, (_, index) => candidateSeed(seed, step, prompt, index))
          )
          const tokens = yield* promptTokens({ tokenizer, format: asked, maxLength }, prompts)
          const groups = yield* program.sample({
            prompts: tokens.map((ids, n) => ({ ids, seeds: seeds[n]! })),
            parameters: policy.parameters,
            options: temperature === undefined ? sampling : { ...plain, temperature },
            maxNewTokens,
            stop: form?.stop ?? stop,
            eosIds: tokenizer.eosIds,
            history: form === undefined ? yield* history(policy.version) : undefined, // drawings foretell drawings
            wellFormedAfter: options.stopMalformed && asked.prefill === format.prefill ? format.prefill : undefined
          })
          return yield* tokenizing(() => groups.map((group, n) =>
            group.map((drawn, index) => {
              const place = { prompt: prompts[n]!, step, index, policyVersion: policy.version, seed: seeds[n]![index]!, promptIds: tokens[n]! }
              return candidateOf(place, drawn, tokenizer, asked.prefill)
            })
          ))
        },
        Effect.catchTag(["OnnxError", "CheckpointInvalid"], ({ message }) => Effect.fail(new SamplerFailed({ message })))
      )
      return Sampler.of({ name: "onnx", sample, room: roomIn(options) })
    })
  )

/** What drafts are made of under a version; that of the last one is kept. */
const historyOf = Effect.fnUntraced(function*(drafts: DraftsFrom | undefined) {
  const known = yield* Ref.make<DraftHistory | undefined>(undefined)
  return Effect.fnUntraced(function*(version: number) {
    if (drafts === undefined) return undefined
    const last = yield* Ref.get(known)
    if (last?.key === version) return last
    const history = { key: version, completions: yield* drafts.history(version, historyTokens) }
    yield* Ref.set(known, history)
    return history
  })
})

const precisionOf = ({ checkpoint, lora, maxNumSeqs, precision }: SamplerOnnxOptions, device: Device) => {
  if (precision === "auto") {
    return Effect.succeed(autoPrecision(parameterCount(checkpoint.config), lora !== undefined, device, maxNumSeqs))
  }
  return precision === "float32" || lora !== undefined ? Effect.succeed(precision) : Effect.fail(
    new SamplerFailed({ message: `--sampler-precision ${precision} needs an adapter: with --lora-r 0 every weight changes at each step; take float32.` })
  )
}
