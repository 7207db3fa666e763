/**
 * Turns a verdict into a label. Two things make a label: the gate (a valid drawing beats an invalid one), and a judge's
 * A or B (or its tie, if ties are trained). Refusals, a judge that stays busy and pairs of two invalid drawings never
 * do (invariant 1).
 */
import { type JudgedPair, Preference } from "../domain.ts"
import type { LessonOptions } from "./options.ts"

/**
 * The trainable pairs, in order. In a tie the first drawing counts as chosen. A pair of weight 0 is left out: it would
 * cost a pass through the network and teach nothing.
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
