/**
 * Judge: adds up the weighted scores of several judges, its terms.
 *
 *      worth i = sum over terms of weight * value i      weights add up to 1
 *
 * A term with a range has the value 0 where its score is at the range's beginning and 1 at its end, linear between, never
 * less or more: [30, 10] counts a small score as good. A term without one is brought to mean 0 and deviation 1 within
 * the drawings of the prompt, so that no judge counts more because its unit is larger (decoupled normalisation, as GDPO
 * does with rewards; Liu et al. 2026, arXiv:2601.05242); if all its scores are equal it says nothing, and of two drawings
 * they are +1 and -1: a vote.
 *
 * A gate: where a term's score is under its `least`, the drawing is worth as little as can be, whatever the others say.
 *
 * A drawing wins by `tieMargin` or more, with confidence 2 σ(gap) - 1.
 */
import { Effect, Layer } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { type Range, shareOfRange } from "../../src/lessons/terms.ts"
import { Judge, type JudgeError, JudgeRefused } from "../../src/stages/Judge.ts"
import { built, type PanelMember } from "./panel.ts"

export interface BlendTerm<E, R> extends PanelMember<E, R> {
  /** What the term is called in verdicts and metrics. Default: the judge's name. */
  readonly name?: string
  /** The scores at which it is worth 0 and 1, in the judge's unit; not equal. Default: it is normalised within the prompt. */
  readonly range?: Range | undefined
  /** The score under which a drawing is worth nothing, in the judge's unit. Default: there is no gate. */
  readonly least?: number | undefined
}

export interface JudgeBlendOptions {
  /** Worths closer than this are a tie; >= 0: in deviations, or a share of 1 if every term has a range. Default 0.25. */
  readonly tieMargin?: number
}

const normalised = (scores: ReadonlyArray<number>): ReadonlyArray<number> => {
  const mean = scores.reduce((sum, x) => sum + x, 0) / scores.length
  const deviation = Math.sqrt(scores.reduce((sum, x) => sum + (x - mean) ** 2, 0) / scores.length)
  return scores.map((x) => (deviation > 1e-12 ? (x - mean) / deviation : 0))
}

/** The least that a term can be worth: of n numbers with mean 0 and deviation 1, none is under -√(n - 1). */
const floorOf = (n: number, range: Range | undefined): number => range === undefined ? -Math.sqrt(n - 1) : 0

const shown = (score: number): string => String(Number(score.toPrecision(4)))

/**
 * Its members must give scores: a judge that gives none refuses the prompt.
 * @param members at least one, weights > 0, names different
 */
export const layer = <E, R>(members: ReadonlyArray<BlendTerm<E, R>>, { tieMargin = 0.25 }: JudgeBlendOptions = {}) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const all = members.reduce((sum, { weight = 1 }) => sum + weight, 0)
      const blended = yield* Effect.forEach(members, ({ judge, weight = 1, ...term }) =>
        Effect.map(built(judge), (judge) => ({ name: judge.name, ...term, judge, weight: weight / all })))

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
          const silent = blended.find((_, m) => answers[m]!.scores.length !== pictures.length)
          if (silent !== undefined) {
            return yield* new JudgeRefused({ message: `${silent.judge.name} gives no scores, and a blend adds scores`, costUsd })
          }
          const valuesOf = blended.map(({ range }, m) => {
            const { scores } = answers[m]!
            return range === undefined ? normalised(scores) : scores.map((score) => shareOfRange(score, range))
          })
          const shut = (i: number) => blended.some(({ least = -Infinity }, m) => answers[m]!.scores[i]! < least)
          const worth = pictures.map((_, i) =>
            blended.reduce((sum, { range, weight }, m) => sum + weight * (shut(i) ? floorOf(pictures.length, range) : valuesOf[m]![i]!), 0))
          return pictures.flatMap((a, i) =>
            pictures.slice(i + 1).map((b, n) => {
              const j = i + 1 + n
              const scores = [worth[i]!, worth[j]!] as const
              const gap = Math.abs(scores[0] - scores[1])
              const tie = gap < tieMargin || gap === 0 || a.hash === b.hash
              return new Verdict({
                outcome: tie ? "tie" : scores[0] > scores[1] ? "A" : "B",
                confidence: tie ? 0 : 2 / (1 + Math.exp(-gap)) - 1,
                scores,
                terms: Object.fromEntries(blended.map(({ name }, m) => [name, [answers[m]!.scores[i]!, answers[m]!.scores[j]!] as const])),
                reason: blended.map(({ name }, m) => `${name} ${shown(answers[m]!.scores[i]!)} and ${shown(answers[m]!.scores[j]!)}`).join(" | "),
                by: "blend",
                ...(i === 0 && n === 0 && costUsd > 0 ? { costUsd } : {})
              })
            })
          )
        }
      )
      const identityOf = ({ judge, least, range, weight }: typeof blended[number]): string =>
        `${weight} x ${judge.identity}${range === undefined ? "" : ` range=${range.join()}`}${least === undefined ? "" : ` least=${least}`}`
      return Judge.of({
        name: "blend",
        identity: `blend-2 tieMargin=${tieMargin} [${blended.map(identityOf).join("; ")}]`,
        concurrency: Math.min(...blended.map(({ judge }) => judge.concurrency)),
        free: blended.every(({ judge }) => judge.free === true),
        compare: (prompt, a, b) => Effect.map(compareAll(prompt, [a, b]), ([verdict]) => verdict!),
        compareAll
      })
    })
  )
