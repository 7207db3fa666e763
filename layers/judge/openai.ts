/**
 * Judge: any vision model behind an OpenAI-compatible server, which sees the prompt and both pictures
 * (guide/pair-judge.ts), over chat completions (guide/openai.ts), within rate limits and a budget (guide/guide.ts).
 */
import { Layer } from "effect"
import { Judge } from "../../src/stages/Judge.ts"
import { Guide, type GuideOptions } from "../guide/guide.ts"
import { makeOpenAI, type OpenAIOptions } from "../guide/openai.ts"
import { makePairJudge, type PairJudgeOptions } from "../guide/pair-judge.ts"

export interface JudgeOpenAIOptions extends OpenAIOptions, GuideOptions, Omit<PairJudgeOptions, "name"> {}

/** Needs `Answers`. The key is sent to `baseUrl` and nowhere else. */
export const layer = (options: JudgeOpenAIOptions) =>
  Layer.effect(Judge, makePairJudge({ name: "openai", orders: options.orders })).pipe(
    Layer.provide(Guide.layer(makeOpenAI(options), options))
  )
