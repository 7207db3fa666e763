/**
 * Judge: a guide model boxes the defects of each drawing by itself, and the drawing's score follows from them
 * (layers/guide/defects.ts: S = -Σ importance / 100 * sqrt(area)). The verdict is
 *
 *      |S A - S B| < tieMargin   tie
 *      else the higher score, with confidence min(1, |S A - S B|)
 */
import { Effect, Layer } from "effect"
import { defectScore, type Defect } from "../guide/defects.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { defectsRequest, defectsRubric } from "../guide/defects-rubric.ts"
import { Guide } from "../guide/guide.ts"
import { makePointwiseJudge } from "../guide/pointwise.ts"

export interface JudgeDefectsOptions {
  /** Scores closer than this are a tie; >= 0. Default 0.05: a defect of importance 20 on a sixteenth of the picture. */
  readonly tieMargin?: number | undefined
}

const listed = (defects: ReadonlyArray<Defect>): string =>
  defects.length === 0
    ? "no defects"
    : defects.toSorted((a, b) => b.importance - a.importance)
      .map(({ description, importance, label }) => `${label} ${importance}: ${description}`).join("; ")

export const layer = ({ tieMargin = 0.05 }: JudgeDefectsOptions = {}) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const guide = yield* Guide
      return yield* makePointwiseJudge<ReadonlyArray<Defect>>({
        name: "defects",
        identity: `defects-1 model=${guide.model} rubric=${defectsRubric.version} tieMargin=${tieMargin}`,
        look: (ask, prompt, picture) =>
          Effect.map(ask(guide.question(defectsRubric, [{ text: defectsRequest(prompt) }, { picture }])), ({ defects }) => defects),
        compared: (a, b) => {
          const scores = [defectScore(a), defectScore(b)] as const
          const gap = Math.abs(scores[0] - scores[1])
          return {
            scores,
            tie: gap === 0 || gap < tieMargin,
            confidence: Math.min(1, gap),
            reason: `A: ${listed(a)} | B: ${listed(b)}`
          }
        }
      })
    })
  )
