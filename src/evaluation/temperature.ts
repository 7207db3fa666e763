/** Which temperature a policy draws best at, and how varied its drawings are there. */
import { mean } from "./statistics.ts"
import type { PromptDrawn } from "./drawings.ts"
import type { Choice } from "./measures.ts"
import { scorerOver, valuesOf, worthOf, type Yardstick } from "./worth.ts"

/** The temperatures that are measured, ascending: those asked for, greedy drawing, and the policy itself. */
export const gridOf = (asked: ReadonlyArray<number>): ReadonlyArray<number> => [...new Set([...asked, 0, 1])].sort((a, b) => a - b)

/** Distinct pictures among each prompt's drawings that rendered, as a share of them. */
export const distinctShare = (all: ReadonlyArray<PromptDrawn>): number => {
  const hashes = all.map(({ drawings }) => drawings.flatMap(({ hash }) => hash ?? []))
  const shown = hashes.reduce((sum, of) => sum + of.length, 0)
  return shown === 0 ? 0 : hashes.reduce((sum, of) => sum + new Set(of).size, 0) / shown
}

const entropy = (all: ReadonlyArray<PromptDrawn>): number => mean(all.flatMap(({ drawings }) => drawings.map(({ nats }) => nats)))

/** One policy's drawings of the choice prompts, by temperature. */
export const choicesOf = (yardstick: Yardstick, drawn: ReadonlyMap<number, ReadonlyArray<PromptDrawn>>): ReadonlyArray<Choice> => {
  const worth = worthOf(yardstick, scorerOver(yardstick, [...drawn.values()].flat()))
  return [...drawn].map(([temperature, all]) => ({
    temperature,
    worth: mean(valuesOf(all, worth, ({ drawings }) => drawings)),
    entropy: Math.max(0, entropy(all)), // not -0
    distinct: distinctShare(all)
  }))
}

/** The temperature of the highest worth; of equal ones the highest, which varies most. */
export const bestTemperature = (choices: ReadonlyArray<Pick<Choice, "temperature" | "worth">>): number =>
  choices.reduce((best, choice) =>
    choice.worth > best.worth || (choice.worth === best.worth && choice.temperature > best.temperature) ? choice : best).temperature

/** `distinct` at an entropy, along the straight lines between the measured points; beyond them, the nearest one's. */
const distinctAt = (choices: ReadonlyArray<Choice>, entropy: number): number => {
  const points = choices.toSorted((a, b) => a.entropy - b.entropy)
  const above = points.findIndex((point) => point.entropy >= entropy)
  if (above === -1) return points.at(-1)!.distinct
  const [low, high] = [points[above - 1], points[above]!]
  if (low === undefined) return high.distinct
  return low.distinct + (high.distinct - low.distinct) * (entropy - low.entropy) / (high.entropy - low.entropy)
}

/** Training sharpens a policy as a lower temperature does, so variety is compared where both are equally sharp. */
export const distinctAtOneEntropy = (before: ReadonlyArray<Choice>, after: ReadonlyArray<Choice>) => {
  const plain = (choices: ReadonlyArray<Choice>) => choices.find(({ temperature }) => temperature === 1)!.entropy
  const entropy = Math.min(plain(before), plain(after))
  return { entropy, before: distinctAt(before, entropy), after: distinctAt(after, entropy) }
}
