/** Sampler: batched decoding with onnxruntime, K candidates a prompt from one prompt cache (layers/onnx/sampler-program.ts). */
import { Effect, Layer } from "effect"
import type { DecoderCheckpoint } from "../src/checkpoint.ts"
import { Candidate } from "../src/domain.ts"
import { samplerBytes } from "../src/numerics/memory.ts"
import type { LoraConfig } from "../src/numerics/parameters.ts"
import type { SamplingOptions } from "../src/numerics/sampling.ts"
import { candidateSeed } from "../src/rollout.ts"
import { Sampler, SamplerFailed } from "../src/stages/Sampler.ts"
import { type PolicyTokenizer, promptIds, type PromptFormat } from "../src/tokenizer/tokenizer.ts"
import { OnnxRuntime, startProgram } from "./onnx-runtime.ts"

export interface SamplerOnnxOptions {
  readonly checkpoint: DecoderCheckpoint
  readonly tokenizer: PolicyTokenizer
  readonly format: PromptFormat
  /** Undefined: the policy is a whole set of parameters (full fine-tuning). */
  readonly lora: LoraConfig | undefined
  readonly sampling: SamplingOptions
  /** Tokens a candidate may have at most. */
  readonly maxNewTokens: number
  /** Prompt and completion together, tokens. */
  readonly maxLength: number
  /** Sampling ends after the token that completes this text. */
  readonly stop: string
  /** Candidates decoded at the same time, at most: for the memory estimate. */
  readonly rows: number
}

/** Fails with `NotEnoughMemory` before anything is allocated; the thread and its sessions end with the scope. */
export const layer = (options: SamplerOnnxOptions) =>
  Layer.effect(
    Sampler,
    Effect.gen(function*() {
      const { checkpoint, format, lora, maxLength, maxNewTokens, sampling, stop, tokenizer } = options
      const runtime = yield* OnnxRuntime
      yield* runtime.reserve("sampler", samplerBytes(checkpoint.config, options.rows, maxLength))
      const program = yield* startProgram("sampler", {
        checkpoint,
        lora,
        maxLength,
        tokenTexts: tokenizer.tokenTexts,
        device: runtime.device,
        threads: runtime.threads
      })
      const sample = Effect.fn("Sampler.sample")(
        function*({ k, policy, prompts, seed, step }: Parameters<Sampler["Service"]["sample"]>[0]) {
          const seeds = prompts.map((prompt) =>
            Array.from({ length: k }, (_, index) => candidateSeed(seed, step, prompt, index))
          )
          const tokens = prompts.map((prompt) => promptIds(tokenizer, format, prompt.text))
          const long = tokens.findIndex((ids) => ids.length >= maxLength)
          if (long >= 0) {
            return yield* new SamplerFailed({
              message: `The prompt "${prompts[long]!.text.slice(0, 60)}" has ${tokens[long]!.length} tokens, but max_length is ${maxLength}: shorten it or raise max_length.`
            })
          }
          const groups = yield* program.sample({
            prompts: tokens.map((ids, n) => ({ ids, seeds: seeds[n]! })),
            parameters: policy.parameters,
            options: sampling,
            maxNewTokens,
            stop,
            eosIds: tokenizer.eosIds
          })
          return groups.map((group, n) =>
            group.map(({ finish, ids, logps }, index) =>
              new Candidate({
                prompt: prompts[n]!,
                step,
                index,
                policyVersion: policy.version,
                seed: seeds[n]![index]!,
                promptIds: tokens[n]!,
                completionIds: ids,
                logps,
                svg: format.prefill + tokenizer.decode(ids),
                finish
              })
            )
          )
        },
        Effect.catchTag("OnnxError", ({ message }) => Effect.fail(new SamplerFailed({ message })))
      )
      return Sampler.of({ name: "onnx", sample })
    })
  )
