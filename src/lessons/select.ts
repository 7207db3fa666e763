/** Which of a prompt's decided pairs become preferences. */
import type { JudgedPair, Preference } from "../domain.ts"
import { labelled } from "./label.ts"
import type { LessonOptions } from "./options.ts"
import { strengths, withoutCycles } from "./order.ts"

/**
 * The one pair between the prompt's drawing with the most wins and the one with the fewest (wins minus losses; the
 * earlier index first if equal), if exactly that pair was decided. Otherwise no preference.
 */
const bestWorst = (preferences: ReadonlyArray<Preference>): Array<Preference> => {
  const decided = preferences.filter(({ label }) => label > 0.5)
  const wins = new Map<number, number>()
  for (const { chosen, rejected } of decided) {
    wins.set(chosen.index, (wins.get(chosen.index) ?? 0) + 1)
    wins.set(rejected.index, (wins.get(rejected.index) ?? 0) - 1)
  }
  const ranked = [...wins].toSorted(([i, m], [j, n]) => n - m || i - j)
  const [best, worst] = [ranked[0]?.[0], ranked.at(-1)?.[0]]
  return decided.filter(({ chosen, rejected }) => chosen.index === best && rejected.index === worst)
}

/**
 * The preferences between the stronger and the weaker half of k candidates; of equals the earlier index is the
 * stronger.
 */
const topBottom = (
  preferences: ReadonlyArray<Preference>,
  strength: ReadonlyArray<number>
): Array<Preference> => {
  const ranked = strength.map((_, i) => i).toSorted((i, j) => strength[j]! - strength[i]! || i - j)
  const half = Math.floor(ranked.length / 2)
  const [top, bottom] = [new Set(ranked.slice(0, half)), new Set(ranked.slice(-half))]
  return preferences.filter(({ chosen, rejected }) => top.has(chosen.index) && bottom.has(rejected.index))
}

/** The preferences of one prompt, without the verdicts that contradict the others (lessons/order.ts). */
export const selectPreferences = (
  options: Pick<LessonOptions, "invalidPairWeight" | "k" | "labels" | "pairs" | "ties">,
  pairs: ReadonlyArray<JudgedPair>
): Array<Preference> => {
  const ordered = withoutCycles(pairs)
  const own = labelled(ordered, options)
  switch (options.pairs) {
    case "all":
      return own
    case "best-worst":
      return bestWorst(own)
    case "top-bottom":
      return topBottom(own, strengths(ordered, options.k).strength)
  }
}
