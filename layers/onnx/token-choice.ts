/** How the next token of a row is chosen from what a graph says of it. Rows decoded together may be drawn in different ways. */
import { type Filters, floorOf } from "../../src/engine/sampling/decoding.ts"
import {
  choose, isOfProbabilities, isPlain, keptOf, logSumExp, narrowed, type SamplingOptions
} from "../../src/engine/sampling/sampling.ts"
import { type Feeds, float32 } from "./session.ts"

type Output = "logits" | "probabilities" | "cooled" | "likely"

/** What is known of one row's next token, each [vocab]; what no row needs is missing. */
export type Scores = Readonly<Partial<Record<Output, Float32Array>>>

/** What a run is fed, and asked for, so that the token of every row can be chosen. */
export interface Reading {
  readonly feeds: Feeds
  readonly outputs: ReadonlyArray<Output>
}

export interface Choice {
  readonly id: number
  /** log p under the unfiltered policy at temperature 1, nats. */
  readonly logp: number
  /** log p under what it was drawn from, nats. */
  readonly drawnLogp: number
}

/** top_p, and a min_p that the graph cannot apply, are applied to the graph's probabilities, other filters to logits. */
const outputsOf = (options: SamplingOptions, { minP }: Filters): ReadonlyArray<Output> => {
  if (isPlain(options)) return ["probabilities"]
  if (!isOfProbabilities(options)) return ["logits"]
  return ["probabilities", minP && options.topP === 1 && options.minP > 0 ? "likely" : "cooled"]
}

/** @param rows how each row is drawn */
export const readingOf = (rows: ReadonlyArray<SamplingOptions>, filters: Filters): Reading => {
  const column = (of: (options: SamplingOptions) => number) => float32([rows.length, 1], Float32Array.from(rows, of))
  return {
    feeds: {
      inverse_temperature: column((options) => (isOfProbabilities(options) ? 1 / options.temperature : 1)),
      ...(filters.minP ? { min_p: column(({ minP }) => floorOf(minP)) } : {})
    },
    outputs: [...new Set([...new Set(rows)].flatMap((options) => outputsOf(options, filters)))]
  }
}

/** The scores of each row of a run. */
export const scoresOf = (out: Feeds, vocab: number) => (row: number): Scores => {
  const of = (name: Output) => (out[name]?.data as Float32Array | undefined)?.subarray(row * vocab, (row + 1) * vocab)
  return { logits: of("logits"), probabilities: of("probabilities"), cooled: of("cooled"), likely: of("likely") } as Scores
}

/**
 * @param seen tokens of the sequence so far
 * @param uniform in [0, 1): the token at which the running sum of the probabilities passes it
 */
export const draw = (scores: Scores, options: SamplingOptions, filters: Filters, seen: () => Iterable<number>, uniform: number): Choice => {
  const [first, second] = outputsOf(options, filters)
  const kept = first === "logits"
    ? keptOf(scores.logits!, options, options.repetitionPenalty === 1 ? [] : seen())
    : second === "cooled" && (options.topP < 1 || options.minP > 0) ? narrowed(scores.cooled!, options) : undefined
  const shares = kept?.shares ?? scores[second ?? "probabilities"]!
  const place = choose(shares, uniform)
  const id = kept?.ids[place] ?? place
  return {
    id,
    logp: first === "logits" ? scores.logits![id]! - logSumExp(scores.logits!) : Math.log(scores.probabilities![id]!),
    drawnLogp: Math.log(shares[place]!)
  }
}

/** The likeliest tokens under the unfiltered policy at temperature 1 and their log p in nats, likeliest first. @param count >= 0 */
export const likeliest = ({ logits, probabilities }: Scores, count: number): ReadonlyArray<readonly [id: number, logp: number]> => {
  if (count === 0) return [] // a client that wants the chosen token's alone
  const x = probabilities ?? logits!
  const best: Array<number> = []
  for (let id = 0; id < x.length; id++) {
    if (best.length === count && x[id]! <= x[best[count - 1]!]!) continue
    let at = best.length
    while (at > 0 && x[best[at - 1]!]! < x[id]!) at--
    best.splice(at, 0, id)
    if (best.length > count) best.pop()
  }
  const whole = probabilities === undefined ? logSumExp(logits!) : 0
  return best.map((id) => [id, probabilities === undefined ? logits![id]! - whole : Math.log(probabilities[id]!)])
}
