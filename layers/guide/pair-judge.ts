/**
 * Asks a guide model about a pair, by default in both orders. If the orders agree, that is the verdict; if not, it is a
 * tie, so a preference for a place never becomes a label.
 */
import { Effect } from "effect"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { billRefusals, Guide } from "./guide.ts"
import { type Answer, criteria, pairRubric, request } from "./pair-rubric.ts"
import { reasonOf } from "./reason.ts"

export interface PairJudgeOptions {
  readonly name: string
  /** 2: both orders, disagreement is a tie. 1: one order, drawn by the pictures' hashes, at half the price. Default 2. */
  readonly orders?: 1 | 2 | undefined
}

const said = (answer: Answer): string =>
  [answer.differences, ...criteria.map((name) => `${name.replace("_", " ")}: ${answer[name].note} (${answer[name].better})`)].join(" | ")

const mirrored = { first: "second", second: "first", tie: "tie" } as const
const outcomes = { first: "A", second: "B", tie: "tie" } as const
const sure = ({ confidence }: Answer): number => Math.min(1, Math.max(0, confidence))

export const makePairJudge = Effect.fnUntraced(function*({ name, orders = 2 }: PairJudgeOptions) {
  const guide = yield* Guide
  const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
    if (a.hash === b.hash) return new Verdict({ outcome: "tie", confidence: 0, by: name })
    // By hash, so that swapping the pictures asks, and costs, nothing new.
    const [lower, upper] = a.hash < b.hash ? [a, b] : [b, a]
    const shown = [[lower, upper], [upper, lower]] as const
    const questions = shown.slice(0, orders).map(([first, second]) =>
      guide.question(pairRubric, [
        { text: request(prompt) },
        { text: "The first picture:" },
        { picture: first },
        { text: "The second picture:" },
        { picture: second }
      ])
    )
    // Wait for both: an answer under way is paid for.
    const asked = yield* Effect.forEach(questions, (question) => Effect.result(guide.ask(question)), { concurrency: 2 })
    const [there, back] = yield* Effect.forEach(asked, Effect.fromResult).pipe(billRefusals(guide, questions))
    const agreed = back === undefined || back.better === mirrored[there!.better] ? there!.better : "tie"
    const oriented = a === lower ? agreed : mirrored[agreed]
    return new Verdict({
      outcome: outcomes[oriented],
      confidence: oriented === "tie" ? 0 : back === undefined ? sure(there!) : (sure(there!) + sure(back)) / 2,
      by: name,
      reason: reasonOf(
        back === undefined || agreed !== "tie" || there!.better === "tie"
          ? said(there!)
          : `The orders disagree: ${said(there!)} || ${said(back)}`
      ),
      costUsd: guide.bill(questions),
      places: [there!, back].flatMap((answer) => (answer === undefined ? [] : [answer.better]))
    })
  })
  return Judge.of({
    name,
    identity: `${name}-2 model=${guide.model} rubric=${pairRubric.version} orders=${orders}`,
    concurrency: guide.concurrency * 8,
    compare
  })
})
