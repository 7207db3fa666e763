/** A run's result in plain lines, for the end of `train` and for `inspect`. */
import type { BestOf, Learning } from "../evaluation/measures.ts"
import { percent } from "../evaluation/statistics.ts"
import { worseThanStart } from "../evaluation/worse-than-start.ts"
import { learned, type Summary } from "./summary.ts"

const span = ({ lower, upper }: { readonly lower: number; readonly upper: number }): string => `[${percent(lower)}, ${percent(upper)}]`

const at = (learning: Learning, of: "before" | "after", temperature = learning[of].bestTemperature): string => {
  const { right, score } = learning[of].curve.find((point) => point.temperature === temperature)!
  return learning.measure === "right" ? percent(right!.value) : score.toFixed(2)
}

const bestOf = (learning: Learning, { judge, of, temperature }: BestOf): string => {
  const rows = of.filter(({ k }) => k > 1)
  const values = rows.map(({ right, score }) => learning.measure === "right" ? percent(right!.value) : score.toFixed(2))
  return `Best of ${rows.map(({ k }) => k).join(", ")} drawings before training by the judge ${judge}, temperature ${temperature}: ${values.join(", ")}, at ${
    rows.map(({ tokens }) => tokens.toFixed(0)).join(", ")
  } tokens; one drawing after training: ${at(learning, "after")}.`
}

export const resultLines = (summary: Summary): ReadonlyArray<string> => {
  const { learning, steps, stopped, validity, winRate } = summary
  const { lesson, lessons, title } = learned(summary)
  const work = `${title}: ${steps} steps, ${lessons} ${lesson}s.`
  const warnings = [stopped, worseThanStart(summary)].filter((line) => line !== undefined)
  if (learning === null) return [`${work} No held-out prompts, so nothing was compared.`, ...warnings]
  const what = learning.measure === "right" ? "Drawn right, of" : `Mean ${learning.scorer} score on`
  return [
    `${work} ${learning.sentence}`,
    `${what} ${learning.heldOut} held-out prompts, each policy at its best temperature: ${at(learning, "before")} before (${learning.before.bestTemperature}), ${
      at(learning, "after")
    } after (${learning.after.bestTemperature}); at temperature 1: ${at(learning, "before", 1)} before, ${at(learning, "after", 1)} after.`,
    ...winRate.n === 0 ? [] : [
      `Win rate by ${winRate.scorer}: ${percent(winRate.value)} ${span(winRate)}; ${winRate.decided} of ${winRate.n} prompts decided it${
        winRate.decided === 0 ? "" : `, ${percent(winRate.decidedRate.value)} of those won`
      }.`
    ],
    ...learning.bestOf !== undefined && "of" in learning.bestOf ? [bestOf(learning, learning.bestOf)] : [],
    `Drawings that render: ${percent(validity.before)} before, ${percent(validity.after)} after.`,
    ...warnings
  ]
}
