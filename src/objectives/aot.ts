/**
 * Alignment by optimal transport, Melnyk et al. 2024 (arXiv:2406.05882): whole distributions of log-ratios are compared, not
 * pair with pair. Both sides are sorted over the batch, and the k-th smallest of one stands against the k-th smallest of the
 * other, y_k apart:
 *
 *     Σ_k weight · (-u log σ(βy_k) - v log σ(-βy_k)) / Σ weight
 *
 * u and v as for `sigmoid` (dpo.ts). The batch is all pairs of an update; TRL sorts each device's. Weight, u and v are those
 * of the pair whose chosen (aot_unpaired) or whose policy's (aot) value is the k-th; TRL has neither weights nor soft labels.
 *
 * A batch is computed in parts, so both models are first run forward over all of it: that tells each pair its partner at the
 * same place (`foresee`), a constant. The gradient through each side is then the whole batch's.
 */
import type { Graph, Value } from "../engine/graph/graph.ts"
import type { ObjectiveSettings } from "./objective.ts"
import { smoothed } from "./dpo.ts"
import { type PairNumbers, pairObjective } from "./pair-objective.ts"
import { detached } from "./sums.ts"

/** For each pair, which pair's `b` has the place that its own `a` has; equal ones keep their order. */
const partners = (pairs: ReadonlyArray<PairNumbers>, a: (pair: PairNumbers) => number, b: (pair: PairNumbers) => number): ReadonlyArray<PairNumbers> => {
  const byPlace = (of: (pair: PairNumbers) => number) => pairs.map((_, n) => n).sort((m, n) => of(pairs[m]!) - of(pairs[n]!) || m - n)
  const [own, others] = [byPlace(a), byPlace(b)]
  const partner = new Map(own.map((n, place) => [n, pairs[others[place]!]!]))
  return pairs.map((_, n) => partner.get(n)!)
}

const logistic = (g: Graph, { beta }: ObjectiveSettings, right: Value, wrong: Value, gap: Value): Value => {
  const scaled = g.scale(gap, beta)
  return g.add(g.mul(right, g.emit("Softplus", [g.neg(scaled)])), g.mul(wrong, g.emit("Softplus", [scaled])))
}

const chosenRatio = ({ chosen, refChosen }: PairNumbers): number => chosen - refChosen
const rejectedRatio = ({ refRejected, rejected }: PairNumbers): number => rejected - refRejected
const policyGap = ({ chosen, rejected }: PairNumbers): number => chosen - rejected
const referenceGap = ({ refChosen, refRejected }: PairNumbers): number => refChosen - refRejected

/** y = (log π(chosen) - log π(rejected)) - the same of the reference, each sorted. */
export const aot = pairObjective({
  title: "Online AOT",
  source: "alignment by optimal transport, paired, Melnyk et al. 2024 (arXiv:2406.05882); sorted over all pairs of an update",
  reads: ["labelSmoothing"],
  ignores: ["useWeighting"],
  labelWeights: smoothed,
  foresee: (_, pairs) => partners(pairs, policyGap, referenceGap).map((partner) => ({ aot_reference: referenceGap(partner) })),
  pairLoss: (g, settings, x) =>
    logistic(g, settings, x.right, x.wrong, g.sub(g.sub(x.chosen, x.rejected), g.input("aot_reference", "float32", ["pair"])))
})

/** y = c - r, the log-ratios of all chosen and of all rejected completions, each sorted. */
export const aotUnpaired = pairObjective({
  title: "Online AOT",
  source: "alignment by optimal transport, unpaired, Melnyk et al. 2024 (arXiv:2406.05882); sorted over all pairs of an update",
  reads: ["labelSmoothing"],
  ignores: ["useWeighting"],
  labelWeights: smoothed,
  foresee: (_, pairs) => {
    const [toChosen, toRejected] = [partners(pairs, chosenRatio, rejectedRatio), partners(pairs, rejectedRatio, chosenRatio)]
    return pairs.map(({ weight }, n) => {
      const other = toRejected[n]!
      const share = other.weight / weight
      return {
        aot_rejected: rejectedRatio(toChosen[n]!),
        aot_chosen: chosenRatio(other),
        aot_right: share * other.right,
        aot_wrong: share * other.wrong
      }
    })
  },
  pairLoss: (g, settings, x) => {
    const of = (name: string) => g.input(`aot_${name}`, "float32", ["pair"])
    const [chosen, rejected] = [g.sub(x.chosen, x.refChosen), g.sub(x.rejected, x.refRejected)]
    const asChosen = logistic(g, settings, x.right, x.wrong, g.sub(chosen, of("rejected")))
    // Its value is that of its partner's pair, which counts it already; its gradient is the rejected side's.
    const asRejected = logistic(g, settings, of("right"), of("wrong"), g.sub(of("chosen"), rejected))
    return g.add(asChosen, g.sub(asRejected, detached(g, asRejected)))
  }
})
