/** What all objectives of pairs share: feeds, label weights, metrics. A row (dpo.ts) adds the loss of a pair. */
import type { Graph, Value } from "../engine/graph/graph.ts"
import { chosenNll, nllFeeds, nllMetrics } from "./nll.ts"
import { float32s, int64s, type Objective, type ObjectiveFeed, type ObjectiveSettings, type ReadSetting, type Scored, type Share, type Stepped } from "./objective.ts"
import { sumBySequence } from "./sums.ts"

/** n pairs; every value is [pair] float32. */
export interface PairLogps {
  /**
   * Log-probabilities summed over completion tokens, nats: with the end-of-sequence token, without prompt and prefill. With
   * ldAlpha, tokens behind the length of the shorter one of the pair count that much.
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
  reads: ["beta", "rpoAlpha", "rejectedFloor", "ldAlpha", ...reads],
  loss: (g, settings, scored) => {
    const { lengths, logps } = scored
    const chosen = g.input("chosen", "int64", ["pair"])
    const rejected = g.input("rejected", "int64", ["pair"])
    const at = (x: Value, which: Value) => g.emit("Gather", [x, which])
    const rejectedLength = at(lengths, rejected)
    const sums = tailOf(settings) === 1 ? sumsOf(g, scored, chosen, rejected) : weighedSums(g, scored)
    const loss = pairLoss(g, settings, withScores(g, settings, {
      ...sums,
      rejected: floorOf(settings) === 0 ? sums.rejected : floored(g, sums.rejected, sums.refRejected, rejectedLength),
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
      ...(tailOf(settings) === 1 ? {} : tailFeeds(settings, share)),
      ...(floorOf(settings) === 0 ? {} : { floors: float32s(examples, ({ signal }) => signal === 0.5 ? noFloor : floorOf(settings)) }),
      ...((settings.rpoAlpha ?? 0) === 0 ? {} : nllFeeds(share))
    }
  },
  metrics: (settings, stepped) => ({ ...pairMetrics(settings, stepped), ...((settings.rpoAlpha ?? 0) === 0 ? {} : nllMetrics(stepped)) })
})

const tailOf = ({ ldAlpha = 1 }: ObjectiveSettings): number => ldAlpha

type Sums = Pick<PairLogps, "chosen" | "rejected" | "refChosen" | "refRejected">

const sumsOf = (g: Graph, { logps, reference }: Scored, chosen: Value, rejected: Value): Sums => {
  const at = (x: Value, which: Value) => g.emit("Gather", [x, which])
  return { chosen: at(logps, chosen), rejected: at(logps, rejected), refChosen: at(reference, chosen), refRejected: at(reference, rejected) }
}

const sides = ["chosen", "rejected"] as const

/**
 * Sums in which the tokens of the longer completion that lie behind the length of the shorter one count ldAlpha (LD-DPO, Liu
 * et al. 2024, arXiv:2409.06411). A completion in several pairs is cut at another length in each.
 */
const weighedSums = (g: Graph, { referenceTokens, tokens }: Scored): Sums => {
  const zeros = g.input("pair_zeros", "float32", ["pair"])
  const [chosen, rejected] = sides.map((side) => {
    const which = g.input(`${side}_tokens`, "int64", [`${side}_token`])
    const pairs = g.input(`${side}_pairs`, "int64", [`${side}_token`])
    const weights = g.input(`${side}_token_weights`, "float32", [`${side}_token`])
    return (x: Value) => sumBySequence(g, g.mul(g.emit("Gather", [x, which]), weights), pairs, zeros)
  }) as [(x: Value) => Value, (x: Value) => Value]
  return { chosen: chosen(tokens), rejected: rejected(tokens), refChosen: chosen(referenceTokens!), refRejected: rejected(referenceTokens!) }
}

/** For the inputs that `weighedSums` adds. */
const tailFeeds = (settings: ObjectiveSettings, { examples, lengths }: Share): Readonly<Record<string, ObjectiveFeed>> => {
  const begins = lengths.map((_, n) => lengths.slice(0, n).reduce((sum, length) => sum + length, 0))
  const ofSide = (side: 0 | 1) =>
    examples.flatMap(({ members: [chosen, rejected = chosen] }, pair) => {
      const own = side === 0 ? chosen : rejected
      const shared = Math.min(lengths[chosen]!, lengths[rejected]!)
      return Array.from({ length: lengths[own]! }, (_, t) => ({ pair, token: begins[own]! + t, weight: t < shared ? 1 : tailOf(settings) }))
    })
  return Object.assign({ pair_zeros: float32s(examples, () => 0) }, ...sides.map((side, n) => {
    const own = ofSide(n as 0 | 1)
    return {
      [`${side}_tokens`]: int64s(own, ({ token }) => token),
      [`${side}_pairs`]: int64s(own, ({ pair }) => pair),
      [`${side}_token_weights`]: float32s(own, ({ weight }) => weight)
    }
  }))
}

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
const pairMetrics = (settings: ObjectiveSettings, { examples, lengths, policy, reference, referenceTokens, tokens }: Stepped): Record<string, number> => {
  const { beta } = settings
  const [floor, tail] = [floorOf(settings), tailOf(settings)]
  const decided = examples.flatMap(({ members: [chosen, rejected = chosen], signal, weight }) =>
    signal === 0.5 ? [] : [{ chosen, rejected, weight, shared: Math.min(lengths[chosen]!, lengths[rejected]!) }])
  const total = decided.reduce((n, { weight }) => n + weight, 0)
  const mean = (name: string, f: (pair: (typeof decided)[number]) => number) =>
    total === 0 ? {} : { [name]: decided.reduce((n, pair) => n + f(pair) * pair.weight, 0) / total }
  const behind = (of: ReadonlyArray<number>, shared: number) => of.slice(shared).reduce((sum, logp) => sum + logp, 0)
  const ratio = (n: number, shared: number) =>
    policy[n]! - reference[n]! - (tail === 1 ? 0 : (1 - tail) * (behind(tokens[n]!, shared) - behind(referenceTokens![n]!, shared)))
  const better = ({ chosen, shared }: (typeof decided)[number]) => beta * ratio(chosen, shared)
  const worse = ({ rejected, shared }: (typeof decided)[number]) => beta * ratio(rejected, shared)
  const used = [...new Set(examples.flatMap(({ members }) => [...members]))]
  return {
    ...mean("rewards/chosen", better),
    ...mean("rewards/rejected", worse),
    ...mean("rewards/accuracies", (pair) => (better(pair) > worse(pair) ? 1 : 0)),
    ...mean("rewards/margins", (pair) => better(pair) - worse(pair)),
    ...mean("logps/chosen", ({ chosen }) => policy[chosen]!),
    ...mean("logps/rejected", ({ rejected }) => policy[rejected]!),
    ...(floor === 0 ? {} : mean("rejected/floored", ({ rejected: n }) => (policy[n]! < reference[n]! - floor * lengths[n]! ? 1 : 0))),
    "objective/kl": used.reduce((n, i) => n + policy[i]! - reference[i]!, 0) / used.length,
    beta
  }
}
