/** What a refinement came to, for people. */
import { percent } from "../evaluation/statistics.ts"
import type { Yardstick } from "../evaluation/worth.ts"
import { changeIn, worthIn } from "../evaluation/figures.ts"
import type { Gain } from "./gains.ts"
import type { RefineRecord } from "./record.ts"

/** How its prompts went. */
export const refinementOf = (records: ReadonlyArray<RefineRecord>) => {
  const rounds = records.flatMap((record) => record.rounds)
  const count = (ended: RefineRecord["ended"]) => records.filter((record) => record.ended === ended).length
  return {
    prompts: records.length,
    ended: { threshold: count("threshold"), patience: count("patience"), rounds: count("rounds") },
    corrections: rounds.length,
    kept: rounds.filter(({ kept }) => kept).length,
    /** Rounds in which nothing was drawn, or the judge gave no answer. */
    failed: rounds.filter(({ drawing, verdicts }) => drawing === null || verdicts[0]?.outcome === "failed").length,
    costUsd: records.reduce((sum, { costUsd }) => sum + costUsd, 0)
  }
}
export type Refinement = ReturnType<typeof refinementOf>

export const gainTable = (all: ReadonlyArray<Gain>, { measure }: Pick<Yardstick, "measure">): ReadonlyArray<string> => {
  const row = (cells: ReadonlyArray<string>) => cells.join("  ").trimEnd()
  return [
    row(["          ", (measure === "right" ? "right" : "score").padStart(8), "minus draft, 95 %".padEnd(21), "beats the draft (decided)".padEnd(40), " renders", "tokens drawn"]),
    ...all.map(({ against, name, spent, validity, worth }) => {
      const [won] = against?.winRates ?? []
      const rate = won === undefined
        ? ""
        : won.decided === 0
        ? "none decided"
        : `${percent(won.decidedRate.value)} [${percent(won.decidedRate.lower)}, ${percent(won.decidedRate.upper)}] of ${won.decided}`
      return row([
        name.padEnd(10),
        worthIn(measure, worth).padStart(8),
        changeIn(measure, against?.difference ?? null).padEnd(21),
        rate.padEnd(40),
        percent(validity).padStart(8),
        spent.toFixed(0).padStart(12)
      ])
    })
  ]
}
