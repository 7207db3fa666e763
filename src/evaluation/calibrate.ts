/** Measures how far a judge can be trusted: its answers on pairs whose winner is known. */
import { Clock, Effect } from "effect"
import type { Outcome, Verdict } from "../domain.ts"
import { decideRenderings } from "../lessons/decide.ts"
import { Judge } from "../stages/Judge.ts"
import { renderFor } from "../stages/render-for.ts"
import { type Interval, median, wilson } from "./statistics.ts"
import { type ErrorName, errorNames, isGross, isTextCheat, type KnownPair, some } from "./known-pairs.ts"

export interface ErrorAccuracy {
  readonly error: ErrorName
  readonly pairs: number
  /**
   * Share of pairs in which the good drawing won; ties count half, and both orders are averaged. Wilson's 95 %
   * interval.
   */
  readonly accuracy: Interval
  /** Share of pairs that a drawing with the error won. */
  readonly fooled: number
  /** Share that the validity gate decided without asking the judge. */
  readonly byGate: number
}

export interface Calibration {
  readonly judge: string
  readonly identity: string
  readonly errors: ReadonlyArray<ErrorAccuracy>
  readonly overall: Interval
  /** Accuracy on the errors that are plain to see. */
  readonly gross: Interval
  /** Share of pairs won by a drawing that writes the prompt out. */
  readonly textCheats: Interval
  /** Share of pairs that got the same answer in both orders. */
  readonly swapConsistency: Interval
  /**
   * Share of A among A and B, over both orders of every pair, less one half: above 0 the judge favours the first place.
   */
  readonly positionBias: number
  /** Share of questions whose answer changed when they were asked again. */
  readonly repeatFlips: Interval
  readonly ties: number
  readonly failed: number
  /** Median seconds of an answer. */
  readonly latency: number
  /** US dollars for 1000 pairs, as this judge is set up. */
  readonly costPer1000: number
}

const worth: Readonly<Record<Outcome, number>> = { A: 1, B: 0, tie: 0.5, invalid: 0.5, failed: 0.5 }
const mirrored: Readonly<Record<Outcome, Outcome>> = { A: "B", B: "A", tie: "tie", invalid: "invalid", failed: "failed" }

interface Asked {
  readonly pair: KnownPair
  /** The verdicts with the good drawing first, and second. */
  readonly first: Verdict
  readonly second: Verdict
  readonly again: Verdict | undefined
  readonly seconds: ReadonlyArray<number>
}

const share = <A>(items: ReadonlyArray<A>, test: (item: A) => boolean) => wilson(items.filter(test).length, items.length)

/**
 * Asks about every pair in both orders, and about 50 of them once more.
 *
 * @param onAnswer called after each pair, with the number of pairs done
 */
export const calibrate = Effect.fn("calibrate")(function*(
  pairs: ReadonlyArray<KnownPair>,
  seed: number,
  onAnswer: (done: number) => Effect.Effect<void> = () => Effect.void
) {
  const judge = yield* Judge
  const repeated = new Set(some(pairs, 50, seed))
  let done = 0
  const asked = yield* Effect.forEach(pairs, Effect.fnUntraced(function*(pair) {
    const good = yield* renderFor(pair.prompt, pair.good)
    const bad = yield* renderFor(pair.prompt, pair.bad)
    const seconds: Array<number> = []
    const timed = Effect.fnUntraced(function*(goodFirst: boolean) {
      const from = yield* Clock.currentTimeMillis
      const verdict = yield* goodFirst ? decideRenderings(pair.prompt, good, bad) : decideRenderings(pair.prompt, bad, good)
      if (verdict.by !== "gate") seconds.push(((yield* Clock.currentTimeMillis) - from) / 1000)
      return verdict
    })
    const first = yield* timed(true)
    const second = yield* timed(false)
    const again = repeated.has(pair) ? yield* timed(true) : undefined
    yield* onAnswer(++done)
    return { pair, first, second, again, seconds } satisfies Asked as Asked
  }), { concurrency: Math.min(16, judge.concurrency) })

  const right = ({ first, second }: Asked) => (worth[first.outcome] + 1 - worth[second.outcome]) / 2
  const fooled = ({ first, second }: Asked) => ((first.outcome === "B" ? 1 : 0) + (second.outcome === "A" ? 1 : 0)) / 2
  const accuracy = (of: ReadonlyArray<Asked>) => wilson(of.reduce((n, one) => n + right(one), 0), of.length)
  const decided = asked.filter(({ first }) => first.by !== "gate")
  const answers = decided.flatMap(({ first, second }) => [first.outcome, second.outcome])
  const [firsts, seconds] = [answers.filter((x) => x === "A").length, answers.filter((x) => x === "B").length]
  const cheats = asked.filter(({ pair }) => isTextCheat(pair.error))
  const cost = asked.reduce((n, { again, first, second }) =>
    n + (first.costUsd ?? 0) + (second.costUsd ?? 0) + (again?.costUsd ?? 0), 0)
  return {
    judge: judge.name,
    identity: judge.identity,
    errors: errorNames.flatMap((error) => {
      const of = asked.filter(({ pair }) => pair.error === error)
      return of.length === 0 ? [] : [{
        error,
        pairs: of.length,
        accuracy: accuracy(of),
        fooled: of.reduce((n, one) => n + fooled(one), 0) / of.length,
        byGate: of.filter(({ first }) => first.by === "gate").length / of.length
      }]
    }),
    overall: accuracy(asked),
    gross: accuracy(asked.filter(({ pair }) => isGross(pair.error))),
    textCheats: wilson(cheats.reduce((n, one) => n + fooled(one), 0), cheats.length),
    swapConsistency: share(decided, ({ first, second }) => second.outcome === mirrored[first.outcome]),
    positionBias: firsts + seconds === 0 ? 0 : firsts / (firsts + seconds) - 0.5,
    repeatFlips: share(
      decided.filter(({ again }) => again !== undefined),
      ({ again, first }) => again!.outcome !== first.outcome
    ),
    ties: share(answers, (outcome) => outcome === "tie").value,
    failed: share(answers, (outcome) => outcome === "failed").value,
    latency: median(asked.flatMap(({ seconds }) => seconds)),
    costPer1000: asked.length === 0 ? 0 : 1000 * cost / asked.length
  } satisfies Calibration as Calibration
})
