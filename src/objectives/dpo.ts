/**
 * DPO and its kin. c and r are the log-ratios of the chosen and the rejected completion, log π - log π_ref in nats, d = c - r;
 * p is the label, P(chosen is the better one): 1 a plain label, 0.5 a tie; u and v are the label's `right` and `wrong`. In
 * the losses that read f_divergence_type, c and r are f'(π / π_ref): log-ratios unless another divergence is chosen.
 */
import type { Graph, Value } from "../engine/graph/graph.ts"
import type { ObjectiveSettings } from "./objective.ts"
import { divergence, type LabelWeights, type PairLogps, pairObjective, plainWeights } from "./pair-objective.ts"

const logRatios = (g: Graph, x: PairLogps) => [g.sub(x.chosen, x.refChosen), g.sub(x.rejected, x.refRejected)] as const

/** c/|chosen| - r/|rejected|: nats a token. */
const perToken = (g: Graph, x: PairLogps): Value => g.sub(g.div(x.chosenScore, x.chosenLength), g.div(x.rejectedScore, x.rejectedLength))

/** u · bend(margin - βd) + v · bend(margin + βd): -log σ(y - margin) is softplus(margin - y), the hinge the same with a corner. */
const bent = (bend: "Softplus" | "Relu", marginOf: (settings: ObjectiveSettings) => number) =>
(g: Graph, settings: ObjectiveSettings, x: PairLogps): Value => {
  const scaled = g.scale(g.sub(x.chosenScore, x.rejectedScore), settings.beta)
  const margin = g.scalar(marginOf(settings))
  const right = g.emit(bend, [g.sub(margin, scaled)])
  const wrong = g.emit(bend, [g.add(margin, scaled)])
  return g.add(g.mul(x.right, right), g.mul(x.wrong, wrong))
}

/** u = p(1-e) + (1-p)e with e = labelSmoothing, v = 1 - u: whether the label is right, if a share e of them is flipped. */
export const smoothed = ({ labelSmoothing: e }: Pick<ObjectiveSettings, "labelSmoothing">, label: number): LabelWeights => {
  const right = label * (1 - e) + (1 - label) * e
  return { right, wrong: 1 - right }
}

/** -u log σ(βd) - v log σ(-βd), u = p(1-e) + (1-p)e with e = labelSmoothing, v = 1 - u. ln 2 while policy and reference agree. */
export const sigmoid = pairObjective({
  title: "Online DPO",
  source: "DPO, Rafailov et al. 2023, eq. 7 (arXiv:2305.18290); labelSmoothing > 0 is Mitchell's conservative DPO",
  reads: ["labelSmoothing", ...divergence],
  labelWeights: smoothed,
  pairLoss: bent("Softplus", () => 0)
})

/** The loss of `sigmoid` with u = [p(1-e) - (1-p)e] / (1-2e), v = 1 - u: no bias where a share e of the labels is flipped. */
export const robust = pairObjective({
  title: "Online robust DPO",
  source: "Chowdhury et al. 2024 (arXiv:2403.00409); ours: its expectation over a soft label",
  reads: ["labelSmoothing", ...divergence],
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
  reads: ["nu", ...divergence],
  labelWeights: (settings, label) => (label === 0.5 ? { right: 1, wrong: 1 } : plainWeights(settings, label)),
  pairLoss: bent("Softplus", ({ nu = 3 }) => Math.log(nu))
})

/** u max(0, 1 - βd) + v max(0, 1 + βd). */
export const hinge = pairObjective({
  title: "Online SLiC",
  source: "SLiC, Zhao et al. 2023 (arXiv:2305.10425), on log-ratios as TRL has it",
  reads: divergence,
  labelWeights: plainWeights,
  pairLoss: bent("Relu", () => 1)
})

/** (c/|chosen| - r/|rejected| - (u - v)/(2β))²: for a soft label the expectation over it, up to a constant. */
export const ipo = pairObjective({
  title: "Online IPO",
  source: "Azar et al. 2023, eq. 17 (arXiv:2310.12036); averaged over tokens, as TRL does and the paper does not",
  reads: divergence,
  labelWeights: plainWeights,
  pairLoss: (g, { beta }, x) => {
    const gap = perToken(g, x)
    const miss = g.sub(gap, g.scale(g.sub(x.right, x.wrong), 1 / (2 * beta)))
    return g.mul(miss, miss)
  }
})

/** -u log σ(βm) - v log σ(-βm), m = c/|chosen| - r/|rejected|. */
export const sigmoidNorm = pairObjective({
  title: "Online length-normalized DPO",
  source: "TRL's sigmoid_norm: DPO on log-ratios averaged over tokens (Meng et al. 2024, arXiv:2405.14734, has no reference)",
  reads: divergence,
  labelWeights: plainWeights,
  pairLoss: (g, { beta }, x) => {
    const scaled = g.scale(perToken(g, x), beta)
    return g.add(g.mul(x.right, g.emit("Softplus", [g.neg(scaled)])), g.mul(x.wrong, g.emit("Softplus", [scaled])))
  }
})

/** q log(q/u) + (1-q) log((1-q)/v), q = σ(βd): the divergence of the policy's preference from the label's, u and v as for `sigmoid`. */
export const exoPair = pairObjective({
  title: "Online EXO",
  source: "Ji et al. 2024, eq. 16 (arXiv:2402.00856); ours: its target for a soft label",
  reads: ["labelSmoothing", ...divergence],
  labelWeights: smoothed,
  pairLoss: (g, { beta }, x) => {
    const scaled = g.scale(g.sub(x.chosenScore, x.rejectedScore), beta)
    const term = (y: Value, share: Value) =>
      g.mul(g.emit("Sigmoid", [y]), g.sub(g.neg(g.emit("Softplus", [g.neg(y)])), g.emit("Log", [share])))
    return g.add(term(scaled, x.right), term(g.neg(scaled), x.wrong))
  }
})

/** softplus(-l)(1-m) + e^-l m, m = σ(l/τ), u · with l = βd, v · with l = -βd. */
export const discopop = pairObjective({
  title: "Online DiscoPOP",
  source: "Lu et al. 2024, eq. 5 (arXiv:2406.08414)",
  reads: ["discopopTau", ...divergence],
  labelWeights: plainWeights,
  pairLoss: (g, { beta, discopopTau = 0.05 }, x) => {
    const scaled = g.scale(g.sub(x.chosenScore, x.rejectedScore), beta)
    const blend = (l: Value) => {
      const share = g.emit("Sigmoid", [g.scale(l, 1 / discopopTau)])
      const logistic = g.emit("Softplus", [g.neg(l)])
      return g.add(logistic, g.mul(share, g.sub(g.emit("Exp", [g.neg(l)]), logistic)))
    }
    return g.add(g.mul(x.right, blend(scaled)), g.mul(x.wrong, blend(g.neg(scaled))))
  }
})

/** Losses that see each completion by itself: u L(c, r) + v L(r, c), the expectation over the label. */
const apart = (title: string, source: string, loss: (g: Graph, beta: number, c: Value, r: Value) => Value) =>
  pairObjective({
    title,
    source,
    labelWeights: plainWeights,
    pairLoss: (g, { beta }, x) => {
      const [c, r] = logRatios(g, x)
      return g.add(g.mul(x.right, loss(g, beta, c, r)), g.mul(x.wrong, loss(g, beta, r, c)))
    }
  })
const minusLogSigmoid = (g: Graph, x: Value): Value => g.emit("Softplus", [g.neg(x)])
const sigma = (g: Graph, x: Value): Value => g.emit("Sigmoid", [x])

/** -log σ(βc) - ½ log σ(-βc) - ½ log σ(-βr). */
export const ncaPair = apart("Online NCA", "Chen et al. 2024 (arXiv:2402.05369), for pairs as TRL has it", (g, beta, c, r) => {
  const [chosen, rejected] = [g.scale(c, beta), g.scale(r, beta)]
  const half = g.scale(g.add(minusLogSigmoid(g, g.neg(chosen)), minusLogSigmoid(g, g.neg(rejected))), 0.5)
  return g.add(minusLogSigmoid(g, chosen), half)
})

/** -log σ(βc) - log σ(-βr). */
export const bcoPair = apart("Online BCO", "Jung et al. 2024 (arXiv:2404.04656), for pairs and without its shift, as TRL has it", (g, beta, c, r) =>
  g.add(minusLogSigmoid(g, g.scale(c, beta)), minusLogSigmoid(g, g.scale(r, -beta))))

/** (c - 1/(2β))² + (r + 1/(2β))². */
export const sppoHard = apart("Online SPPO", "Wu et al. 2024, eq. 4.7 (arXiv:2405.00675) with probabilities 1 and 0", (g, beta, c, r) => {
  const [won, lost] = [g.sub(c, g.scalar(0.5 / beta)), g.add(r, g.scalar(0.5 / beta))]
  return g.add(g.mul(won, won), g.mul(lost, lost))
})

/** 1 - σ(βc) + σ(βr): for chosen drawings better than the policy's own. */
export const apoZero = apart("Online APO", "D'Oosterlinck et al. 2024, eq. 7 (arXiv:2408.06266)", (g, beta, c, r) =>
  g.add(g.sub(g.scalar(1), sigma(g, g.scale(c, beta))), sigma(g, g.scale(r, beta))))

/** σ(βc) + 1 - σ(β(c - r)): for chosen drawings worse than the policy's own. */
export const apoDown = apart("Online APO", "D'Oosterlinck et al. 2024, eq. 8 (arXiv:2408.06266)", (g, beta, c, r) =>
  g.add(sigma(g, g.scale(c, beta)), g.sub(g.scalar(1), sigma(g, g.scale(g.sub(c, r), beta)))))
