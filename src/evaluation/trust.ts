/**
 * Checks whether the training judge still agrees with others: compares its verdicts with the scores of scorers that
 * train nothing. If the policy learns to please only the judge, it shows here first.
 */
import { Effect } from "effect"
import { type Agreement, type Alarm, type Drawing, type JudgedPair, type Rollout, stageMetric } from "../domain.ts"
import type { Scorer } from "../stages/Scorer.ts"
import { backTo, divergence } from "./divergence.ts"
import { failedInARow } from "./judge-watch.ts"
import { random, shuffled } from "../engine/random.ts"

const keyOf = ({ candidate: { index, prompt } }: Drawing): string => `${prompt.id} ${index}`

/**
 * The agreements over the pairs of one rollout that the judge, not the gate, decided: at most `limit` of them, drawn at
 * random by hash(seed, step). Pairs that a scorer calls equally good are not counted: as a policy learns there are more
 * of them, and with them tau fell in healthy runs (.63 to .56; without them it rose, .91 to .95). A scorer that knows
 * none of the prompts is left out.
 */
export const agreements = Effect.fnUntraced(function*(
  scorers: ReadonlyArray<Scorer>,
  { drawings, pairs, step }: Rollout,
  limit: number,
  seed: number
) {
  const decided = pairs.filter(({ verdict: { by, outcome } }) => by !== "gate" && (outcome === "A" || outcome === "B"))
  const drawn = shuffled(random(seed, step, 0x7a57), decided).slice(0, limit)
  const byKey = new Map(drawings.map((drawing) => [keyOf(drawing), drawing]))
  const found: Array<Agreement> = []
  for (const scorer of scorers) {
    const known = new Map<string, number | undefined>()
    const score = Effect.fnUntraced(function*({ index, prompt }: JudgedPair["a"]) {
      const key = `${prompt.id} ${index}`
      const drawing = byKey.get(key)
      if (!known.has(key) && drawing?.rendering._tag === "Rendered") known.set(key, yield* scorer.score(prompt, drawing.rendering.picture))
      return known.get(key)
    })
    let [sum, scored] = [0, 0]
    for (const { a, b, verdict } of drawn) {
      const [x, y] = [yield* score(a), yield* score(b)]
      if (x === undefined || y === undefined || Math.abs(x - y) <= (scorer.margin ?? 0)) continue
      scored++
      sum += Math.sign(x - y) * (verdict.outcome === "A" ? 1 : -1)
    }
    if (scored > 0) found.push({ scorer: scorer.name, pairs: scored, tau: sum / scored })
  }
  return found
})

/** How many steps make up "at first" and "now". */
const span = 20

/** Mean tau and its variance over the pairs of some steps. */
const pooled = (of: ReadonlyArray<Agreement>) => {
  const pairs = of.reduce((sum, { pairs }) => sum + pairs, 0)
  const tau = of.reduce((sum, { pairs, tau }) => sum + pairs * tau, 0) / pairs
  return { tau, variance: Math.max(1 - tau * tau, 0.05) / pairs }
}

/**
 * Warns once when the agreement of the last 20 steps has fallen below that of the first 20 by more than 0.1 and by more
 * than three standard errors of the difference; warns again if it had recovered in between.
 */
export const makeAlarm = () => {
  const history = new Map<string, Array<Agreement>>()
  const falling = new Set<string>()
  return (agreement: Agreement): string | undefined => {
    const own = history.get(agreement.scorer) ?? []
    history.set(agreement.scorer, own)
    own.push(agreement)
    if (own.length < 2 * span) return undefined
    const [first, now] = [pooled(own.slice(0, span)), pooled(own.slice(-span))]
    const fall = first.tau - now.tau
    const alarming = fall > 0.1 && fall > 3 * Math.sqrt(first.variance + now.variance)
    if (alarming && falling.has(agreement.scorer)) return undefined
    if (!alarming) {
      falling.delete(agreement.scorer)
      return undefined
    }
    falling.add(agreement.scorer)
    return `The judge and the ${agreement.scorer} agree less than at first (tau ${first.tau.toFixed(2)}, now ${
      now.tau.toFixed(2)
    }): the policy may be learning to please the judge alone. Look at the drawings.`
  }
}

/** Name in metrics.jsonl. */
export const metricOf = ({ scorer }: Agreement): string => `judge/agreement/${scorer.replaceAll(" ", "_")}`

/**
 * Warns once when the drawings of the last 20 steps are over 1.5 times as long as those of the first 20, or under two
 * thirds: the judge may then reward length, or shortness.
 */
export const makeLengthAlarm = () => {
  const lengths: Array<number> = []
  let said = false
  const mean = (xs: ReadonlyArray<number>): number => xs.reduce((sum, x) => sum + x, 0) / xs.length
  return (tokens: number | undefined): string | undefined => {
    if (tokens !== undefined) lengths.push(tokens)
    if (said || lengths.length < 2 * span) return undefined
    const [first, now] = [mean(lengths.slice(0, span)), mean(lengths.slice(-span))]
    if (now < 1.5 * first && now > first / 1.5) return undefined
    said = true
    return `Drawings have ${now > first ? "grown" : "shrunk"} from ${first.toFixed(0)} to ${now.toFixed(0)} tokens: the judge may be pleased by length. Look at the drawings.`
  }
}

/**
 * Warns once, until the judge answers again, that it has given no usable answer: either to all of a step's questions,
 * at least three in a row, or to the last ten.
 */
export const makeFailureAlarm = () => {
  let said = false
  return (metrics: Readonly<Record<string, number>>): string | undefined => {
    const row = metrics[failedInARow] ?? 0
    const alarming = row >= 10 || (row >= 3 && metrics["judge/failed"] === metrics["judge/asked"])
    const news = alarming && !said
    said = row > 0 && (said || alarming)
    return news
      ? `The judge has given no usable answer to the last ${row} questions, so nothing is learned from it. Look why with vequinox inspect.`
      : undefined
  }
}

/** Tells of each step back, and once of a run that diverges and does not step back. */
export const makeDivergenceAlarm = () => {
  let said = false
  return (metrics: Readonly<Record<string, number>>): string | undefined => {
    const message = divergence(metrics)
    if (message === undefined || metrics[backTo] !== undefined) return message
    const news = !said
    said = true
    return news ? message : undefined
  }
}

/**
 * Makes the alarms a person should look into, from the reports of a run in order; a resumed run gets the same ones.
 * Where a curriculum widens, "at first" begins anew: other prompts have drawings of another length.
 */
export const makeAlarms = () => {
  const [failureAlarm, divergenceAlarm] = [makeFailureAlarm(), makeDivergenceAlarm()]
  let [alarm, lengthAlarm, stage] = [makeAlarm(), makeLengthAlarm(), undefined as number | undefined]
  return ({ metrics, step, trust }: { readonly step: number; readonly metrics: Readonly<Record<string, number>>; readonly trust: ReadonlyArray<Agreement> }): ReadonlyArray<Alarm> => {
    const now = metrics[stageMetric]
    if (now !== stage) [alarm, lengthAlarm, stage] = [makeAlarm(), makeLengthAlarm(), now]
    return [...trust.map(alarm), lengthAlarm(metrics["svg/length"]), failureAlarm(metrics), divergenceAlarm(metrics)].flatMap((message) => message === undefined ? [] : [{ step, message }])
  }
}
