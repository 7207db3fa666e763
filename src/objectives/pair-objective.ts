/** What all objectives of pairs share: feeds, label weights, metrics. A row (dpo.ts) adds the loss of a pair. */
import type { Graph, Value } from "../engine/graph/graph.ts"
import { chosenNll, nllFeeds, nllMetrics } from "./nll.ts"
import { float32s, int64s, type Objective, type ObjectiveSettings, type ReadSetting, type Stepped } from "./objective.ts"

/** n pairs; every value is [pair] float32. */
export interface PairLogps {
  /**
   * Log-probabilities summed over completion tokens, nats: with the end-of-sequence token, without prompt and prefill.
   */
  readonly chosen: Value
  readonly rejected: Value
  readonly refChosen: Value
  readonly refRejected: Value
  /** f'(π/π_ref) of each: the log-ratio log π - log π_ref itself, unless another divergence is chosen. */
  readonly chosenScore: Value
  readonly rejectedScore: Value
  /** Completion tokens. */
  readonly chosenLength: Value
  readonly rejectedLength: Value
  /** The label's weights: of the loss if "chosen is better" is right, and of the loss if it is wrong. */
  readonly right: Value
  readonly wrong: Value
}

export interface LabelWeights {
  readonly right: number
  readonly wrong: number
}

export interface PairRow {
  readonly title: string
  readonly source: string
  /** Settings besides those that every objective of pairs reads. */
  readonly reads?: ReadonlyArray<ReadSetting>
  /** @param label P(chosen is the better one), [0.5, 1] */
  readonly labelWeights: (settings: ObjectiveSettings, label: number) => LabelWeights
  /** The loss of each pair, [pair]. */
  readonly pairLoss: (g: Graph, settings: ObjectiveSettings, x: PairLogps) => Value
}

/** Weights that make the loss its expectation over the label. */
export const plainWeights = (_: ObjectiveSettings, label: number): LabelWeights => ({ right: label, wrong: 1 - label })

/** The objective Σ weight · loss / Σ weight over pairs, plus rpoAlpha times the NLL of the chosen completions (nll.ts). */
export const pairObjective = ({ labelWeights, pairLoss, reads = [], source, title }: PairRow): Objective & PairRow => ({
  title,
  source,
  labelWeights,
  pairLoss,
  learnsFrom: "preferences",
  reference: () => true,
  reads: ["beta", "rpoAlpha", "rejectedFloor", ...reads],
  loss: (g, settings, { lengths, logps, reference }) => {
    const chosen = g.input("chosen", "int64", ["pair"])
    const rejected = g.input("rejected", "int64", ["pair"])
    const at = (x: Value, which: Value) => g.emit("Gather", [x, which])
    const [refRejected, rejectedLength] = [at(reference, rejected), at(lengths, rejected)]
    const free = at(logps, rejected)
    const [own, other, refChosen] = [at(logps, chosen), floorOf(settings) === 0 ? free : floored(g, free, refRejected, rejectedLength), at(reference, chosen)]
    const loss = pairLoss(g, settings, withScores(g, settings, {
      chosen: own,
      rejected: other,
      refChosen,
      refRejected,
      chosenLength: at(lengths, chosen),
      rejectedLength,
      right: g.input("right", "float32", ["pair"]),
      wrong: g.input("wrong", "float32", ["pair"])
    }))
    const mean = g.sum(g.mul(loss, g.input("weights", "float32", ["pair"])), [0], true)
    const { rpoAlpha = 0 } = settings
    return rpoAlpha === 0 ? mean : g.add(mean, g.scale(chosenNll(g, at(logps, chosen)), rpoAlpha))
  },
  feeds: (settings, share) => {
    const { batch, examples } = share
    const labels = examples.map(({ signal }) => labelWeights(settings, signal))
    return {
      chosen: int64s(examples, ({ members: [chosen] }) => chosen),
      rejected: int64s(examples, ({ members: [chosen, rejected = chosen] }) => rejected),
      right: float32s(labels, ({ right }) => right),
      wrong: float32s(labels, ({ wrong }) => wrong),
      weights: float32s(examples, ({ weight }) => weight / batch.weight),
      ...(floorOf(settings) === 0 ? {} : { floors: float32s(examples, ({ signal }) => signal === 0.5 ? noFloor : floorOf(settings)) }),
      ...((settings.rpoAlpha ?? 0) === 0 ? {} : nllFeeds(share))
    }
  },
  metrics: (settings, stepped) => ({ ...pairMetrics(settings, stepped), ...((settings.rpoAlpha ?? 0) === 0 ? {} : nllMetrics(stepped)) })
})

export const withScores = (g: Graph, settings: ObjectiveSettings, x: Omit<PairLogps, "chosenScore" | "rejectedScore">): PairLogps => ({
  ...x,
  chosenScore: score(g, settings, g.sub(x.chosen, x.refChosen)),
  rejectedScore: score(g, settings, g.sub(x.rejected, x.refRejected))
})

/**
 * f'(t) of the ratio t = π/π_ref from its logarithm, up to a constant that a difference cancels: the implicit reward for a
 * policy held near the reference by the f-divergence (f-DPO, Wang et al. 2023, arXiv:2309.16240). TRL's arithmetic.
 */
const score = (g: Graph, { fAlphaDivergenceCoef = 0.5, fDivergenceType = "reverse_kl" }: ObjectiveSettings, logRatio: Value): Value => {
  switch (fDivergenceType) {
    case "reverse_kl":
      return logRatio
    case "forward_kl": // 1 - 1/t
      return g.sub(g.scalar(1), g.emit("Exp", [g.neg(logRatio)]))
    case "js_divergence": // log(2t/(t + 1))
      return g.sub(g.scalar(Math.LN2), g.emit("Softplus", [g.neg(logRatio)]))
    case "alpha_divergence": { // (t^(α - 1) - 1)/(α - 1); its limit at 1 is log t
      const power = fAlphaDivergenceCoef - 1
      if (Math.abs(power) < 1e-6) return logRatio
      // The exponential of more is no float32.
      const bounded = g.sub(g.scalar(80), g.emit("Relu", [g.sub(g.scalar(80), g.scale(logRatio, power))]))
      return g.scale(g.sub(g.emit("Exp", [bounded]), g.scalar(1)), 1 / power)
    }
  }
}

const floorOf = ({ rejectedFloor = 0 }: ObjectiveSettings): number => rejectedFloor

/** Of a tie, whose second side is not rejected: no policy falls so far. */
const noFloor = 1e6

/**
 * max(rejected, its reference - floor · length): constant below the floor, so no gradient flows there. Bounded-DPO (Cho
 * et al. 2025, arXiv:2506.12725) bounds the rejected side smoothly, by a mixture with the reference.
 */
const floored = (g: Graph, rejected: Value, reference: Value, length: Value): Value => {
  const floor = g.sub(reference, g.mul(g.input("floors", "float32", ["pair"]), length))
  const above = g.emit("Cast", [g.emit("Relu", [g.sub(rejected, floor)])], { to: 9 })
  return g.emit("Where", [above, rejected, floor])
}

/** TRL's: means over the pairs that have a chosen side, by weight. Rewards and margins are log-ratios times beta, nats. */
const pairMetrics = (settings: ObjectiveSettings, { examples, lengths, policy, reference }: Stepped): Record<string, number> => {
  const { beta } = settings
  const floor = floorOf(settings)
  const decided = examples.flatMap(({ members: [chosen, rejected = chosen], signal, weight }) =>
    signal === 0.5 ? [] : [{ chosen, rejected, weight }])
  const total = decided.reduce((n, { weight }) => n + weight, 0)
  const mean = (name: string, f: (pair: (typeof decided)[number]) => number) =>
    total === 0 ? {} : { [name]: decided.reduce((n, pair) => n + f(pair) * pair.weight, 0) / total }
  const reward = (n: number) => beta * (policy[n]! - reference[n]!)
  const used = [...new Set(examples.flatMap(({ members }) => [...members]))]
  return {
    ...mean("rewards/chosen", ({ chosen }) => reward(chosen)),
    ...mean("rewards/rejected", ({ rejected }) => reward(rejected)),
    ...mean("rewards/accuracies", ({ chosen, rejected }) => (reward(chosen) > reward(rejected) ? 1 : 0)),
    ...mean("rewards/margins", ({ chosen, rejected }) => reward(chosen) - reward(rejected)),
    ...mean("logps/chosen", ({ chosen }) => policy[chosen]!),
    ...mean("logps/rejected", ({ rejected }) => policy[rejected]!),
    ...(floor === 0 ? {} : mean("rejected/floored", ({ rejected: n }) => (policy[n]! < reference[n]! - floor * lengths[n]! ? 1 : 0))),
    "objective/kl": used.reduce((n, i) => n + policy[i]! - reference[i]!, 0) / used.length,
    beta
  }
}
