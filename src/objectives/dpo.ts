/**
 * DPO and its kin. c and r are the log-ratios of the chosen and the rejected completion, log π - log π_ref in nats, d = c - r;
 * p is the label, P(chosen is the better one): 1 a plain label, 0.5 a tie; u and v are the label's `right` and `wrong`.
 */
import type { Graph, Value } from "../engine/graph/graph.ts"
import type { ObjectiveSettings } from "./objective.ts"
import { type PairLogps, pairObjective, plainWeights } from "./pair-objective.ts"

const logRatios = (g: Graph, x: PairLogps) => [g.sub(x.chosen, x.refChosen), g.sub(x.rejected, x.refRejected)] as const

/** u · bend(margin - βd) + v · bend(margin + βd): -log σ(y - margin) is softplus(margin - y), the hinge the same with a corner. */
const bent = (bend: "Softplus" | "Relu", marginOf: (settings: ObjectiveSettings) => number) =>
(g: Graph, settings: ObjectiveSettings, x: PairLogps): Value => {
  const [c, r] = logRatios(g, x)
  const scaled = g.scale(g.sub(c, r), settings.beta)
  const margin = g.scalar(marginOf(settings))
  const right = g.emit(bend, [g.sub(margin, scaled)])
  const wrong = g.emit(bend, [g.add(margin, scaled)])
  return g.add(g.mul(x.right, right), g.mul(x.wrong, wrong))
}

/** -u log σ(βd) - v log σ(-βd), u = p(1-e) + (1-p)e with e = labelSmoothing, v = 1 - u. ln 2 while policy and reference agree. */
export const sigmoid = pairObjective({
  title: "Online DPO",
  source: "DPO, Rafailov et al. 2023, eq. 7 (arXiv:2305.18290); labelSmoothing > 0 is Mitchell's conservative DPO",
  reads: ["labelSmoothing"],
  labelWeights: ({ labelSmoothing: e }, label) => {
    const right = label * (1 - e) + (1 - label) * e
    return { right, wrong: 1 - right }
  },
  pairLoss: bent("Softplus", () => 0)
})

/** The loss of `sigmoid` with u = [p(1-e) - (1-p)e] / (1-2e), v = 1 - u: no bias where a share e of the labels is flipped. */
export const robust = pairObjective({
  title: "Online robust DPO",
  source: "Chowdhury et al. 2024 (arXiv:2403.00409); ours: its expectation over a soft label",
  reads: ["labelSmoothing"],
  labelWeights: ({ labelSmoothing: e }, label) => {
    const right = (label * (1 - e) - (1 - label) * e) / (1 - 2 * e)
    return { right, wrong: 1 - right }
  },
  pairLoss: bent("Softplus", () => 0)
})

/**
 * -u log σ(βd - log ν) - v log σ(-βd - log ν). A tie counts fully in both directions: u = v = 1 is -log P(tie) without
 * the constant log(ν² - 1).
 */
export const raoKupper = pairObjective({
  title: "Online DPO with ties",
  source: "Rao & Kupper's model of wins and ties as a DPO loss, Chen et al. 2024 (arXiv:2409.17431); not in TRL",
  reads: ["nu"],
  labelWeights: (settings, label) => (label === 0.5 ? { right: 1, wrong: 1 } : plainWeights(settings, label)),
  pairLoss: bent("Softplus", ({ nu = 3 }) => Math.log(nu))
})

/** u max(0, 1 - βd) + v max(0, 1 + βd). */
export const hinge = pairObjective({
  title: "Online SLiC",
  source: "SLiC, Zhao et al. 2023 (arXiv:2305.10425), on log-ratios as TRL has it",
  labelWeights: plainWeights,
  pairLoss: bent("Relu", () => 1)
})

/** (c/|chosen| - r/|rejected| - (u - v)/(2β))²: for a soft label the expectation over it, up to a constant. */
export const ipo = pairObjective({
  title: "Online IPO",
  source: "Azar et al. 2023, eq. 17 (arXiv:2310.12036); averaged over tokens, as TRL does and the paper does not",
  labelWeights: plainWeights,
  pairLoss: (g, { beta }, x) => {
    const [c, r] = logRatios(g, x)
    const gap = g.sub(g.div(c, x.chosenLength), g.div(r, x.rejectedLength))
    const miss = g.sub(gap, g.scale(g.sub(x.right, x.wrong), 1 / (2 * beta)))
    return g.mul(miss, miss)
  }
})
