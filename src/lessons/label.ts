/**
 * From a verdict to a label. Two things make one: the gate (a valid drawing beats an invalid one) and a judge's A or B; its
 * tie where ties are trained. Refusals, a judge that stays busy and pairs of two invalid drawings never do (invariant 1).
 */
import { type JudgedPair, Preference } from "../domain.ts"
import type { LessonOptions } from "./options.ts"

/**
 * The trainable pairs, in order. A tie's first drawing is its chosen one. A weight of 0 would pass through the network in
 * vain, so it is left out.
 */
export const labelled = (
  pairs: ReadonlyArray<JudgedPair>,
  { invalidPairWeight, labels, ties }: Pick<LessonOptions, "invalidPairWeight" | "labels" | "ties">
): Array<Preference> =>
  pairs.flatMap(({ a, b, verdict }) => {
    const { by, confidence, outcome } = verdict
    const weight = by === "gate" ? invalidPairWeight : 1
    if (weight <= 0 || outcome === "invalid" || outcome === "failed" || (outcome === "tie" && ties === "drop")) return []
    const [chosen, rejected] = outcome === "B" ? [b, a] : [a, b]
    const label = outcome === "tie" ? 0.5 : labels === "soft" ? (1 + confidence) / 2 : 1
    return [new Preference({ prompt: a.prompt, chosen, rejected, label, weight, verdict })]
  })
