/**
 * Judge: adds up the weighted scores of several judges. Each judge's scores are first brought to mean 0 and deviation 1
 * within the drawings of the prompt, so that no judge counts more because its unit is larger (decoupled normalisation,
 * as GDPO does with rewards; Liu et al. 2026, arXiv:2601.05242).
 *
 *      worth i = sum over judges of weight * (score i - mean) / deviation      weights add up to 1
 *
 * A drawing wins by `tieMargin` or more, with confidence 2 σ(gap) - 1. With only two drawings, each judge's scores are
 * +1 and -1: a vote. A judge whose scores are all equal says nothing.
 */
import { Effect, Layer } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { Judge, type JudgeError, JudgeRefused } from "../../src/stages/Judge.ts"
import { built, type PanelMember } from "./panel.ts"

export interface JudgeBlendOptions {
  /** Worths closer than this are a tie; >= 0, in deviations. Default 0.25. */
  readonly tieMargin?: number
}

const normalised = (scores: ReadonlyArray<number>): ReadonlyArray<number> => {
  const mean = scores.reduce((sum, x) => sum + x, 0) / scores.length
  const deviation = Math.sqrt(scores.reduce((sum, x) => sum + (x - mean) ** 2, 0) / scores.length)
  return scores.map((x) => (deviation > 1e-12 ? (x - mean) / deviation : 0))
}

/**
 * Its members must give scores: a judge that gives none refuses the prompt.
 * @param members at least one, weights > 0
 */
export const layer = <E, R>(members: ReadonlyArray<PanelMember<E, R>>, { tieMargin = 0.25 }: JudgeBlendOptions = {}) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const all = members.reduce((sum, { weight = 1 }) => sum + weight, 0)
      const blended = yield* Effect.forEach(members, ({ judge, weight = 1 }) =>
        Effect.map(built(judge), (judge) => ({ judge, weight: weight / all })))

      /**
       * The scores of each picture, and their cost. A pointwise score is the same in every pair, so n - 1 pairs are
       * enough.
       */
      const scoresOf = (judge: Judge["Service"], prompt: Prompt, pictures: ReadonlyArray<Picture>) =>
        Effect.map(
          judge.compareAll?.(prompt, pictures) ??
            Effect.forEach(pictures.slice(1), (picture) => judge.compare(prompt, pictures[0]!, picture), { concurrency: "unbounded" }),
          (verdicts) => ({
            // The pairs of the first picture with every other one come first in compareAll's order too.
            scores: verdicts.slice(0, pictures.length - 1).flatMap(({ scores }, n) => (n === 0 ? scores ?? [] : scores?.slice(1) ?? [])),
            costUsd: verdicts.reduce((sum, { costUsd = 0 }) => sum + costUsd, 0)
          })
        )

      const compareAll = Effect.fn("Judge.compareAll")(
        function*(prompt: Prompt, pictures: ReadonlyArray<Picture>): Effect.fn.Return<ReadonlyArray<Verdict>, JudgeError> {
          const answers = yield* Effect.forEach(blended, ({ judge }) => scoresOf(judge, prompt, pictures), { concurrency: "unbounded" })
          const costUsd = answers.reduce((sum, answer) => sum + answer.costUsd, 0)
          const worth = pictures.map(() => 0)
          for (const [m, { scores }] of answers.entries()) {
            const { judge, weight } = blended[m]!
            if (scores.length !== pictures.length) {
              return yield* new JudgeRefused({ message: `${judge.name} gives no scores, and a blend adds scores`, costUsd })
            }
            normalised(scores).forEach((z, i) => (worth[i]! += weight * z))
          }
          return pictures.flatMap((a, i) =>
            pictures.slice(i + 1).map((b, n) => {
              const scores = [worth[i]!, worth[i + 1 + n]!] as const
              const gap = Math.abs(scores[0] - scores[1])
              const tie = gap < tieMargin || a.hash === b.hash
              return new Verdict({
                outcome: tie ? "tie" : scores[0] > scores[1] ? "A" : "B",
                confidence: tie ? 0 : 2 / (1 + Math.exp(-gap)) - 1,
                scores,
                by: "blend",
                ...(i === 0 && n === 0 && costUsd > 0 ? { costUsd } : {})
              })
            })
          )
        }
      )
      return Judge.of({
        name: "blend",
        identity: `blend-1 tieMargin=${tieMargin} [${blended.map(({ judge, weight }) => `${weight} x ${judge.identity}`).join("; ")}]`,
        concurrency: Math.min(...blended.map(({ judge }) => judge.concurrency)),
        free: blended.every(({ judge }) => judge.free === true),
        compare: (prompt, a, b) => Effect.map(compareAll(prompt, [a, b]), ([verdict]) => verdict!),
        compareAll
      })
    })
  )
