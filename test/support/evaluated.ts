/** What an evaluation might have found: riders learned, counts not. */
import type { Evaluated, Learning, PolicyMeasures, RightChange } from "../../src/evaluation/measures.ts"

const share = (value: number, n: number) => ({ value, lower: Math.max(0, value - 0.05), upper: Math.min(1, value + 0.05), n })
const grid = [0, 0.3, 1]
const policy = (bestTemperature: number, rights: ReadonlyArray<number>): PolicyMeasures => ({
  bestTemperature,
  choice: grid.map((temperature, n) => ({ temperature, worth: rights[n]! + 0.01, entropy: 30 * temperature, distinct: 0.25 + 0.7 * temperature })),
  curve: grid.map((temperature, n) => ({ temperature, right: share(rights[n]!, 256), score: rights[n]! + 0.1, validity: 0.99, tokens: 60 }))
})
const change = (before: number, after: number, n: number, half = 0.05): RightChange => ({
  before: share(before, n),
  after: share(after, n),
  difference: { value: after - before, lower: after - before - half, upper: after - before + half }
})

export const learning: Learning = {
  measure: "right",
  scorer: "scene check",
  heldOut: 256,
  chosenOn: { prompts: 64, drawings: 4 },
  before: policy(0.3, [0.3, 0.35, 0.2]),
  after: policy(0, [0.78, 0.77, 0.7]),
  right: change(0.35, 0.78, 256),
  score: { before: 0.45, after: 0.88, difference: { value: 0.43, lower: 0.4, upper: 0.46 } },
  kinds: [{ kind: "count", ...change(0.3, 0.32, 56) }, { kind: "rider", ...change(0.12, 0.71, 200) }],
  bestOf: {
    judge: "clip",
    temperature: 0.7,
    of: [1, 2, 4].map((k) => ({
      k,
      right: share(0.3 + k / 50, 256),
      score: 0.5,
      tokens: 60 * k,
      trainedMinusThis: { value: 0.48 - k / 50, lower: 0.4, upper: 0.5 }
    }))
  },
  distinct: { entropy: 20, before: 0.95, after: 0.9 },
  sentence: "Learned: drawings right 35 % to 78 %, riders 12 % to 71 %; counts (30 % to 32 %) did not measurably improve."
}

export const evaluated: Evaluated = {
  winRate: {
    value: 0.711, lower: 0.652, upper: 0.763, n: 256, scorer: "scene check", margin: 0.02, decided: 180,
    decidedRate: { value: 0.8, lower: 0.73, upper: 0.85 }
  },
  otherWinRates: [{
    value: 0.66, lower: 0.6, upper: 0.72, n: 256, scorer: "another", margin: 0, decided: 256,
    decidedRate: { value: 0.66, lower: 0.6, upper: 0.72 }
  }],
  validity: { before: 0.742, after: 0.998 },
  diversity: { before: 0.95, after: 0.9 },
  length: { before: 71.4, after: 66.2 },
  learning
}
