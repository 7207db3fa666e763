/** A prompt as tokens, as every sampler of a model reads it. */
import { Effect } from "effect"
import type { Prompt } from "../../src/domain.ts"
import { tokenizing } from "../../src/model/tokenizer/limits.ts"
import { type PolicyTokenizer, promptIds, type PromptFormat } from "../../src/model/tokenizer/tokenizer.ts"
import { type AnswerForm, SamplerFailed } from "../../src/stages/Sampler.ts"

interface Reading {
  readonly tokenizer: PolicyTokenizer
  readonly format: PromptFormat
  /** The most tokens of prompt and completion together. */
  readonly maxLength: number
}

const failed = ({ message }: { readonly message: string }) => new SamplerFailed({ message })

/** Of each prompt; fails if one leaves no room for an answer. */
export const promptTokens = Effect.fnUntraced(function*({ format, maxLength, tokenizer }: Reading, prompts: ReadonlyArray<Prompt>) {
  const tokens = yield* Effect.mapError(tokenizing(() => prompts.map(({ text }) => promptIds(tokenizer, format, text))), failed)
  const long = tokens.findIndex((ids) => ids.length >= maxLength)
  if (long < 0) return tokens
  return yield* new SamplerFailed({
    message: `The prompt "${prompts[long]!.text.slice(0, 60)}" has ${tokens[long]!.length} tokens, but max_length is ${maxLength}: shorten it or raise max_length.`
  })
})

/** `Sampler.room`. */
export const roomIn = ({ format, maxLength, tokenizer }: Reading) => (prompt: Prompt, form?: AnswerForm): Effect.Effect<number, SamplerFailed> =>
  Effect.mapError(tokenizing(() => maxLength - promptIds(tokenizer, { ...format, ...form }, prompt.text).length), failed)
