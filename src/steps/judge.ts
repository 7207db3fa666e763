/** The judge's box: verdicts on the pairs of each prompt. */
import { Effect } from "effect"
import type { JudgedPair, Prompt } from "../domain.ts"
import { wordsOf } from "../engine/random.ts"
import { comparePrompt, type InTurn } from "../lessons/compare.ts"
import type { PipelineConfig } from "./config.ts"
import type { Rendered } from "./render.ts"
import { seconds } from "./seconds.ts"

export interface Judged extends Rendered {
  readonly pairs: ReadonlyArray<JudgedPair>
  readonly judgeSeconds: number
}

/** Key of the random draw among a prompt's pairs, when not all are judged. */
export const pairCounters = ({ seed }: PipelineConfig, step: number, prompt: Prompt): ReadonlyArray<number> =>
  [seed, step, ...wordsOf(prompt.id)]

/** Decides the pairs of each prompt. `inTurn` limits how many judgments are under way; the result keeps their order. */
export const judgeBatch = (
  config: PipelineConfig,
  inTurn: InTurn
) =>
  Effect.fn("pipeline.judge")(function*(batch: Rendered) {
    const [pairs, judgeSeconds] = yield* seconds("judge", Effect.forEach(batch.drawings, (drawings, n) => {
      const prompt = batch.prompts[n]!
      return comparePrompt(config, prompt, drawings, pairCounters(config, batch.step, prompt), inTurn)
    }, { concurrency: "unbounded" }), batch.last)
    return { ...batch, pairs: pairs.flat(), judgeSeconds } satisfies Judged
  })
