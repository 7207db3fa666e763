/**
 * Judge: Claude, which sees the prompt and both pictures (guide/pair-judge.ts), over the Messages API (guide/claude.ts)
 * or in batches at half the price (guide/claude-batches.ts), within rate limits and a budget (guide/guide.ts).
 */
import { Config, Effect, Layer, Option } from "effect"
import { Judge } from "../../src/stages/Judge.ts"
import { type ClaudeOptions, makeClaude } from "../guide/claude.ts"
import * as claudeBatches from "../guide/claude-batches.ts"
import { Guide, type GuideOptions } from "../guide/guide.ts"
import { makePairJudge, type PairJudgeOptions } from "../guide/pair-judge.ts"

export interface JudgeClaudeOptions
  extends ClaudeOptions, GuideOptions, claudeBatches.ClaudeBatchesOptions, Omit<PairJudgeOptions, "name">
{
  /** Ask in batches, which may take 24 hours and cost half; `price` is then the price of batches. Default false. */
  readonly batch?: boolean | undefined
}

/** Needs `Answers`. The key is sent to `baseUrl` and nowhere else. */
export const layer = (options: JudgeClaudeOptions) =>
  Layer.effect(Judge, makePairJudge({ name: "claude", orders: options.orders })).pipe(
    Layer.provide(options.batch ? claudeBatches.layer(options) : Guide.layer(makeClaude(options), options))
  )

/** Reads ANTHROPIC_API_KEY and, if it is set, ANTHROPIC_BASE_URL from the environment, and nothing else. */
export const layerConfig = (options: Omit<JudgeClaudeOptions, "apiKey" | "baseUrl">) =>
  Layer.unwrap(Effect.gen(function*() {
    const apiKey = yield* Config.Redacted("ANTHROPIC_API_KEY")
    const baseUrl = Option.getOrUndefined(yield* Config.option(Config.String("ANTHROPIC_BASE_URL")))
    return layer({ ...options, apiKey, baseUrl })
  }))
