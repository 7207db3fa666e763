/**
 * What all objectives of pairs share: feeds, label weights, metrics. A row (dpo.ts, aot.ts) adds the loss of a pair; a list
 * of rows is a weighted sum (`mixture`).
 *
 * With `useWeighting` each pair's loss is multiplied with w(chosen) · w(rejected), through which no gradient flows:
 *
 *     w(y) = exp( 1/|y| Σ_t (log π(y_t) - log Σ_v π(v)²) )
 *
 * (WPO, Zhou et al. 2024, arXiv:2406.11827, eq. 2 with its alignment by sampled tokens.) It is TRL 1.16's formula, without a bound: a
 * pair of tokens likelier than most draws at their places counts over 1. It does not weigh the NLL of the chosen completions (rpoAlpha, `sft` in a list): in
 * TRL `sft` with use_weighting fails on a batch of more than one pair.
 */
import type { Graph, Value } from "../engine/graph/graph.ts"
import { chosenNll, nllFeeds, nllMetrics } from "./nll.ts"
import { type Example, float32s, type Foreseen, int64s, type Objective, type ObjectiveFeed, type ObjectiveSettings, type ReadSetting, type Scored, type Share, type Stepped } from "./objective.ts"
import { detached, sumBySequence } from "./sums.ts"

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
  /** Of a loss that sorts the whole batch: what each of its pairs needs to know of the others, by the names of inputs of `pairLoss`. */
  readonly foresee?: (settings: ObjectiveSettings, pairs: ReadonlyArray<PairNumbers>) => ReadonlyArray<Readonly<Record<string, number>>>
  /** Settings that every objective of pairs reads, but this one does not. */
  readonly ignores?: ReadonlyArray<ReadSetting>
}

/** A pair of a whole batch as numbers: the sums of `PairLogps`, nats. */
export interface PairNumbers extends LabelWeights {
  readonly weight: number
  readonly chosen: number
  readonly rejected: number
  readonly refChosen: number
  readonly refRejected: number
}

/** Weights that make the loss its expectation over the label. */
export const plainWeights = (_: ObjectiveSettings, label: number): LabelWeights => ({ right: label, wrong: 1 - label })

/** The objective Σ weight · loss / Σ weight over pairs, plus rpoAlpha times the NLL of the chosen completions (nll.ts). */
export const pairObjective = (row: PairRow): Objective & PairRow => ({
  ...row,
  ...sumOf([{ row, weight: 1 }], ({ rpoAlpha = 0 }) => rpoAlpha),
  learnsFrom: "preferences",
  reference: () => true,
  reads: readBy(row)
})

const readBy = ({ ignores = [], reads = [] }: PairRow): ReadonlyArray<ReadSetting> =>
  [...(["beta", "rpoAlpha", "rejectedFloor", "ldAlpha", "useWeighting"] as const).filter((setting) => !ignores.includes(setting)), ...reads]

/** The settings of losses of d = f'(chosen) - f'(rejected). */
export const divergence = ["fDivergenceType", "fAlphaDivergenceCoef"] as const

/** A loss of a list, and what it is multiplied with. */
export interface Term<A> {
  readonly row: A
  readonly weight: number
}

/**
 * Σ weight · loss over a list of losses of pairs, on the same scores and settings: MPO, Wang et al. 2024 (arXiv:2411.10442), by
 * TRL's `loss_type` with `loss_weights`.
 *
 * @param likelihood weight of the chosen completions' NLL, which is TRL's `sft` in a list; undefined: rpoAlpha is
 */
export const mixture = (terms: ReadonlyArray<Term<PairRow>>, likelihood: number | undefined): Objective => {
  const rows = terms.map(({ row }) => row)
  const all = new Set(rows.flatMap(readBy))
  // As in TRL, which takes a divergence only where every loss of the list does.
  const everywhere = (setting: ReadSetting) => rows.every((row) => readBy(row).includes(setting))
  return {
    ...sumOf(terms, likelihood === undefined ? ({ rpoAlpha = 0 }) => rpoAlpha : () => likelihood),
    learnsFrom: "preferences",
    reference: () => true,
    reads: [...all].filter((setting) =>
      setting === "rpoAlpha" ? likelihood === undefined : ["useWeighting", ...divergence].includes(setting) ? everywhere(setting) : true),
    title: `Online ${[...new Set(rows.map(({ title }) => title.replace(/^Online /, ""))), ...likelihood === undefined ? [] : ["SFT"]].join(" + ")}`,
    source: `a weighted sum as in MPO, Wang et al. 2024 (arXiv:2411.10442), of ${[...new Set(rows.map(({ source }) => source)), ...likelihood === undefined ? [] : ["the chosen drawings' likelihood"]].join("; ")}`
  }
}

/** Name of an input of the n-th loss of a list. */
const ofTerm = (name: string, n: number): string => (n === 0 ? name : `${name}_${n}`)

const sumOf = (
  terms: ReadonlyArray<Term<PairRow>>,
  likelihoodOf: (settings: ObjectiveSettings) => number
): Pick<Objective, "concentrations" | "feeds" | "loss" | "metrics" | "prepare"> => {
  const sorting = terms.map(({ row }) => row).filter(({ foresee }) => foresee !== undefined)
  const weighs = ({ useWeighting = false }: ObjectiveSettings): boolean =>
    useWeighting && terms.every(({ row }) => readBy(row).includes("useWeighting"))
  return {
    concentrations: weighs,
    loss: (g, settings, scored) => {
      const { lengths, logps } = scored
      const chosen = g.input("chosen", "int64", ["pair"])
      const rejected = g.input("rejected", "int64", ["pair"])
      const at = (x: Value, which: Value) => g.emit("Gather", [x, which])
      const rejectedLength = at(lengths, rejected)
      const sums = tailOf(settings) === 1 ? sumsOf(g, scored, chosen, rejected) : weighedSums(g, scored)
      const x = withScores(g, settings, {
        ...sums,
        rejected: floorOf(settings) === 0 ? sums.rejected : floored(g, sums.rejected, sums.refRejected, rejectedLength),
        chosenLength: at(lengths, chosen),
        rejectedLength,
        right: g.input("right", "float32", ["pair"]),
        wrong: g.input("wrong", "float32", ["pair"])
      })
      const weights = g.input("weights", "float32", ["pair"])
      const own = weighs(settings) ? g.mul(weights, likelyPairs(g, scored, chosen, rejected)) : weights
      const total = terms.map(({ row, weight }, n) => {
        const loss = row.pairLoss(g, settings, {
          ...x,
          right: g.input(ofTerm("right", n), "float32", ["pair"]),
          wrong: g.input(ofTerm("wrong", n), "float32", ["pair"])
        })
        return g.scale(g.sum(g.mul(loss, own), [0], true), weight)
      }).reduce((sum, loss) => g.add(sum, loss))
      const likelihood = likelihoodOf(settings)
      return likelihood === 0 ? total : g.add(total, g.scale(chosenNll(g, at(logps, chosen)), likelihood))
    },
    feeds: (settings, share) => {
      const { batch, examples } = share
      const labels = terms.map(({ row }, n) => {
        const weights = examples.map(({ signal }) => row.labelWeights(settings, signal))
        return { [ofTerm("right", n)]: float32s(weights, ({ right }) => right), [ofTerm("wrong", n)]: float32s(weights, ({ wrong }) => wrong) }
      })
      const found = sorting.length === 0 ? [] : Object.keys(examples[0]?.found ?? {})
      return {
        chosen: int64s(examples, ({ members: [chosen] }) => chosen),
        rejected: int64s(examples, ({ members: [chosen, rejected = chosen] }) => rejected),
        ...Object.assign({}, ...labels) as Readonly<Record<string, ObjectiveFeed>>,
        weights: float32s(examples, ({ weight }) => weight / batch.weight),
        ...Object.fromEntries(found.map((name) => [name, float32s(examples, (example) => example.found![name]!)])),
        ...(tailOf(settings) === 1 ? {} : tailFeeds(settings, share)),
        ...(floorOf(settings) === 0 ? {} : { floors: float32s(examples, floorFor(settings)) }),
        ...(likelihoodOf(settings) === 0 ? {} : nllFeeds(share))
      }
    },
    metrics: (settings, stepped) => ({
      ...pairMetrics(settings, stepped),
      ...(likelihoodOf(settings) === 0 ? {} : nllMetrics(stepped))
    }),
    ...(sorting.length === 0 ? {} : {
      prepare: (settings, batch) => {
        const found = sorting.map((row) => row.foresee!(settings, numbersOf(settings, row, batch)))
        return batch.examples.map((example, n) => ({ ...example, found: Object.assign({}, ...found.map((each) => each[n])) as Record<string, number> }))
      }
    } satisfies Pick<Objective, "prepare">)
  }
}

/** w(chosen) · w(rejected) of each pair, [pair], no derivative: see above. */
const likelyPairs = (g: Graph, { concentrations, lengths, segments, tokens }: Scored, chosen: Value, rejected: Value): Value => {
  const aligned = g.sub(detached(g, tokens), concentrations!)
  const counted = g.add(g.emit("Relu", [g.sub(lengths, g.scalar(1))]), g.scalar(1))
  const means = g.div(sumBySequence(g, aligned, segments, g.input("zeros", "float32", ["sequence"])), counted)
  return g.emit("Exp", [g.add(g.emit("Gather", [means, chosen]), g.emit("Gather", [means, rejected]))])
}

/** The pairs of a whole batch as the graph sees them. */
const numbersOf = (settings: ObjectiveSettings, row: PairRow, { examples, lengths, referenceTokens, tokens }: Foreseen): ReadonlyArray<PairNumbers> =>
  examples.map((example) => {
    const { members: [chosen, rejected = chosen], signal, weight } = example
    const shared = Math.min(lengths[chosen]!, lengths[rejected]!)
    const sum = (of: ReadonlyArray<number>) => of.reduce((total, logp, t) => total + (t < shared ? 1 : tailOf(settings)) * logp, 0)
    const refRejected = sum(referenceTokens[rejected]!)
    const floor = floorOf(settings) === 0 ? -Infinity : refRejected - floorFor(settings)(example) * lengths[rejected]!
    return {
      ...row.labelWeights(settings, signal),
      weight,
      chosen: sum(tokens[chosen]!),
      rejected: Math.max(floor, sum(tokens[rejected]!)),
      refChosen: sum(referenceTokens[chosen]!),
      refRejected
    }
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
const floorFor = (settings: ObjectiveSettings) => ({ signal }: Pick<Example, "signal">): number => (signal === 0.5 ? noFloor : floorOf(settings))

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
const pairMetrics = (settings: ObjectiveSettings, { concentrations, examples, lengths, policy, reference, referenceTokens, tokens }: Stepped): Record<string, number> => {
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
  const likely = (n: number) =>
    Math.exp(tokens[n]!.reduce((sum, logp, t) => sum + logp - concentrations![n]![t]!, 0) / Math.max(1, lengths[n]!))
  const used = [...new Set(examples.flatMap(({ members }) => [...members]))]
  return {
    ...mean("rewards/chosen", better),
    ...mean("rewards/rejected", worse),
    ...mean("rewards/accuracies", (pair) => (better(pair) > worse(pair) ? 1 : 0)),
    ...mean("rewards/margins", (pair) => better(pair) - worse(pair)),
    ...mean("logps/chosen", ({ chosen }) => policy[chosen]!),
    ...mean("logps/rejected", ({ rejected }) => policy[rejected]!),
    ...(floor === 0 ? {} : mean("rejected/floored", ({ rejected: n }) => (policy[n]! < reference[n]! - floor * lengths[n]! ? 1 : 0))),
    ...(concentrations === undefined ? {} : mean("pairs/likelihood_weight", ({ chosen, rejected }) => likely(chosen) * likely(rejected))),
    "objective/kl": used.reduce((n, i) => n + policy[i]! - reference[i]!, 0) / used.length,
    beta
  }
}
