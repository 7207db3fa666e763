/** Says what was learned and what was not. A gain that a lower temperature gives the untrained policy is not learning. */
import type { Kind, Learning, PolicyMeasures, RightChange } from "./measures.ts"

/** Fewer prompts than this say nothing about a kind. */
export const leastPrompts = 8

export const kindNames: Readonly<Record<Kind, string>> = {
  single: "single creatures and vehicles",
  pair: "pairs of a big and a small figure",
  relation: "relations",
  count: "counts",
  rider: "riders"
}

/** `12 %`; a share that is neither 0 nor 1 is never written so. */
const whole = (share: number): string => {
  const rounded = Math.round(100 * share)
  return `${(rounded === 0 && share > 0) || (rounded === 100 && share < 1) ? (100 * share).toFixed(1) : rounded} %`
}

const listed = (items: ReadonlyArray<string>): string =>
  items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`

/** What an interval of after - before says. */
export const told = ({ lower, upper }: { readonly lower: number; readonly upper: number }): "better" | "worse" | "neither" =>
  lower > 0 ? "better" : upper < 0 ? "worse" : "neither"

/** What became of some prompts. */
export interface Part {
  readonly name: string
  readonly from: string
  readonly to: string
  readonly gain: number
  readonly told: "better" | "worse" | "neither" | "few"
}

const partOf = (name: string, { after, before, difference }: RightChange): Part => ({
  name,
  from: whole(before.value),
  to: whole(after.value),
  gain: difference.value,
  told: before.n < leastPrompts ? "few" : told(difference)
})

/** `drawings right 12 % to 30 %`. */
export const moved = ({ from, name, to }: Part): string => `${name} ${from} to ${to}`

const sentenceOfParts = (overall: Part, kinds: ReadonlyArray<Part>): string => {
  const those = (what: Part["told"]) => kinds.filter((part) => part.told === what).toSorted((a, b) => b.gain - a.gain)
  const [better, worse, neither, few] = [those("better"), those("worse"), those("neither"), those("few")]
  const told = [...overall.told === "better" ? [overall] : [], ...better]
  const lead = told.length > 0
    ? `Learned: ${told.map(moved).join(", ")}`
    : overall.told === "worse"
    ? `Training hurt: ${[overall, ...worse].map(moved).join(", ")}`
    : overall.told === "few"
    ? `Too few held-out prompts to tell whether anything was learned: ${moved(overall)}`
    : `Nothing was learned that can be told from chance: ${moved(overall)}`
  const clauses = [
    lead,
    ...told.length > 0 && overall.told === "worse" ? [`worse on the whole: ${moved(overall)}`] : [],
    ...worse.length > 0 && !lead.startsWith("Training") ? [`worse than before: ${worse.map(moved).join(", ")}`] : [],
    ...told.length > 0 && overall.told === "neither" ? [`on the whole no measurable gain: ${moved(overall)}`] : [],
    ...neither.length > 0 && told.length + worse.length > 0
      ? [`${listed(neither.map(({ from, name, to }) => `${name} (${from} to ${to})`))} did not measurably improve`]
      : [],
    ...few.length > 0 && overall.told !== "few" ? [`too few prompts to tell: ${listed(few.map(({ name }) => name))}`] : []
  ]
  return `${clauses.join("; ")}.`
}

const at = ({ curve }: PolicyMeasures, wanted: number) => curve.find(({ temperature }) => temperature === wanted)!

/** What sampling at another temperature gives the untrained policy. */
const sampling = ({ before, measure }: Pick<Learning, "before" | "measure">): string => {
  const [best, plain] = [at(before, before.bestTemperature), at(before, 1)]
  if (best === plain) return ""
  const value = ({ right, score }: typeof best) => measure === "right" ? whole(right!.value) : score.toFixed(2)
  return ` Sampling the untrained policy at temperature ${before.bestTemperature} instead of 1 gives ${value(best)} instead of ${value(plain)} by itself.`
}

/** What became of all held-out prompts: the share right, or the mean score. */
export const overallOf = ({ heldOut, measure, right, score, scorer }: Pick<Learning, "heldOut" | "measure" | "right" | "score" | "scorer">): Part =>
  measure === "right" && right !== null ? partOf("drawings right", right) : {
    name: `mean score (${scorer})`,
    from: score.before.toFixed(2),
    to: score.after.toFixed(2),
    gain: score.difference.value,
    told: heldOut < leastPrompts ? "few" : told(score.difference)
  }

export const sentenceOf = (learning: Pick<Learning, "before" | "heldOut" | "kinds" | "measure" | "right" | "score" | "scorer">): string => {
  const { kinds, measure } = learning
  return sentenceOfParts(overallOf(learning), measure === "right" ? kinds.map((change) => partOf(kindNames[change.kind], change)) : []) + sampling(learning)
}
