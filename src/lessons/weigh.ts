/**
 * Weighs preferences by how far apart the two drawings are, and by how different the drawings of the prompt are. After
 * DP2O-SR's intra-group and inter-group weights (Wu et al. 2025, arXiv:2510.18851); its training code is not released,
 * so the normalisation is ours.
 */
import { type JudgedPair, Preference } from "../domain.ts"
import type { LessonOptions } from "./options.ts"
import { strengths } from "./order.ts"

/**
 * One number for each candidate, by index: its mean score if one judge scored every pair that it answered, else its
 * Bradley-Terry strength. Undefined for a candidate that no judge saw.
 */
export const worths = (pairs: ReadonlyArray<JudgedPair>, k: number): ReadonlyArray<number | undefined> => {
  const answered = pairs.filter(({ verdict: { by, outcome } }) => by !== "gate" && outcome !== "failed" && outcome !== "invalid")
  const seen = new Set(answered.flatMap(({ a, b }) => [a.index, b.index]))
  const scored = answered.every(({ verdict }) => verdict.scores !== undefined && verdict.by === answered[0]!.verdict.by)
  const { strength } = strengths(answered, k)
  return Array.from({ length: k }, (_, i) => {
    if (!seen.has(i)) return undefined
    if (!scored) return strength[i]!
    const own = answered.flatMap(({ a, b, verdict: { scores } }) => (a.index === i ? [scores![0]] : b.index === i ? [scores![1]] : []))
    return mean(own)
  })
}

const mean = (xs: ReadonlyArray<number>): number => xs.reduce((sum, x) => sum + x, 0) / xs.length
const spread = (xs: ReadonlyArray<number>): number => Math.sqrt(mean(xs.map((x) => (x - mean(xs)) ** 2)))
const positive = (x: number): number => (x > 0 ? x : 1)

/** The preferences of one prompt and all verdicts they were chosen from. */
export interface Group {
  readonly pairs: ReadonlyArray<JudgedPair>
  readonly preferences: ReadonlyArray<Preference>
}

/**
 * The preferences of all groups of a step, in order, with their weight multiplied by
 *
 * - `gap`: |worth i - worth j| over its mean in the group,
 * - `diversity`: the standard deviation of the group's worths over its mean over the groups,
 * - `gap-diversity`: both,
 *
 * scaled so that the mean factor of the step is 1. A pair that the gate decided has no gap and keeps its weight.
 */
export const weighted = (
  { k, pairWeighting }: Pick<LessonOptions, "k" | "pairWeighting">,
  groups: ReadonlyArray<Group>
): ReadonlyArray<Preference> => {
  if (pairWeighting === "none") return groups.flatMap(({ preferences }) => preferences)
  const measured = groups.map(({ pairs, preferences }) => {
    const worth = worths(pairs, k)
    const gaps = preferences.map(({ chosen, rejected, verdict }) => {
      const [c, r] = [worth[chosen.index], worth[rejected.index]]
      return verdict.by === "gate" || c === undefined || r === undefined ? undefined : Math.abs(c - r)
    })
    const known = gaps.filter((gap) => gap !== undefined)
    return { preferences, gaps, meanGap: positive(mean(known)), deviation: spread(worth.filter((w) => w !== undefined)) }
  })
  const meanDeviation = positive(mean(measured.filter(({ gaps }) => gaps.some((gap) => gap !== undefined)).map(({ deviation }) => deviation)))
  const factors = measured.map(({ deviation, gaps, meanGap }) =>
    gaps.map((gap) =>
      gap === undefined
        ? undefined
        : (pairWeighting === "diversity" ? 1 : gap / meanGap) * (pairWeighting === "gap" ? 1 : deviation / meanDeviation)
    )
  )
  const scale = positive(mean(factors.flat().filter((factor) => factor !== undefined)))
  return measured.flatMap(({ preferences }, n) =>
    preferences.map((preference, i) => {
      const factor = factors[n]![i]
      return factor === undefined ? preference : new Preference({ ...preference, weight: preference.weight * factor / scale })
    })
  )
}
