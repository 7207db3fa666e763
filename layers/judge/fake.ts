/**
 * Judge without a model: prefers the drawing whose share of inked pixels is nearer to a target. It ignores the prompt.
 */
import { Effect, Layer } from "effect"
import { type Picture, Verdict } from "../../src/domain.ts"
import { Judge, JudgeBusy, JudgeRefused } from "../../src/stages/Judge.ts"

/** Share of pixels that are not white, in [0, 1]. */
export const ink = ({ height, rgba, width }: Picture): number => {
  let inked = 0
  for (let at = 0; at < rgba.length; at += 4) if (rgba[at]! + rgba[at + 1]! + rgba[at + 2]! < 765) inked++
  return inked / (width * height)
}

export interface JudgeFakeOptions {
  /** The share of ink it likes best, in [0, 1]. Default 0.4. */
  readonly target?: number
  /** Scores that differ by no more than this are a tie. Default 0.005. */
  readonly margin?: number
  /** Milliseconds a pair takes. Default 0. */
  readonly delay?: number
  /** Pairs at the same time. Default 4. */
  readonly concurrency?: number
  /** Every n-th call fails with `JudgeBusy`; which pair that hits depends on timing. Default: never. */
  readonly busyEvery?: number
  /** Every n-th call fails with `JudgeRefused`; which pair that hits depends on timing. Default: never. */
  readonly refuseEvery?: number
}

/** Confidence is 1 - exp(-20 |difference of scores|): 0.18 at a difference of one hundredth, 0.86 at a tenth. */
export const layer = (
  { busyEvery = Infinity, concurrency = 4, delay = 0, margin = 0.005, refuseEvery = Infinity, target = 0.4 }: JudgeFakeOptions = {}
) =>
  Layer.sync(Judge, () => {
    let calls = 0
    const score = (picture: Picture) => -Math.abs(ink(picture) - target)
    const compare = Effect.fnUntraced(function*(a: Picture, b: Picture) {
      yield* Effect.sleep(delay)
      calls++
      if (calls % busyEvery === 0) return yield* new JudgeBusy({ message: `call ${calls} came too early` })
      if (calls % refuseEvery === 0) return yield* new JudgeRefused({ message: `call ${calls} was refused` })
      const scores = [score(a), score(b)] as const
      const difference = scores[0] - scores[1]
      const tie = Math.abs(difference) <= margin
      return new Verdict({
        outcome: tie ? "tie" : difference > 0 ? "A" : "B",
        confidence: tie ? 0 : 1 - Math.exp(-20 * Math.abs(difference)),
        scores,
        by: "fake"
      })
    })
    return Judge.of({
      name: "fake",
      identity: `fake-1 target=${target} margin=${margin}`,
      concurrency,
      free: true,
      compare: (_prompt, a, b) => compare(a, b)
    })
  })
