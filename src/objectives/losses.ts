/**
 * Losses as graph functions. In all preference losses c and r are the log-ratios of the chosen and the rejected
 * completion, log pi - log ref in nats, summed over completion tokens (the end-of-sequence token counts, prompt and
 * prefill do not), and d = c - r.
 */
import type { Graph, Value } from "../engine/graph/graph.ts"
import { wrongShape } from "../engine/graph/shape-error.ts"

/** TRL's names, and `rao_kupper`, which TRL has not. */
export type LossType = "sigmoid" | "hinge" | "ipo" | "robust" | "rao_kupper"
export const lossTypes: ReadonlyArray<LossType> = ["sigmoid", "hinge", "ipo", "robust", "rao_kupper"]

export interface PreferenceLoss {
  readonly lossType: LossType
  /** Temperature of the implicit reward, > 0; larger holds the policy nearer to the reference. */
  readonly beta: number
  /** Chance that a label is wrong: [0, 0.5). Read by `sigmoid` (conservative DPO) and `robust` only. */
  readonly labelSmoothing: number
  /** How much stronger one must be to win rather than tie, > 1; read by `rao_kupper` only. Default 3. */
  readonly nu?: number
}

/** Log-probabilities and lengths of n pairs; every value is [pair] float32. */
export interface PairLogps {
  readonly chosen: Value
  readonly rejected: Value
  readonly refChosen: Value
  readonly refRejected: Value
  /** Completion tokens; read by `ipo` only. */
  readonly chosenLength: Value
  readonly rejectedLength: Value
  /** Of `labelWeights`. */
  readonly right: Value
  readonly wrong: Value
}

/**
 * What a label makes of a pair's loss: `right` times the loss of "chosen is better" plus `wrong` times that of the
 * opposite.
 *
 * With p the label, the probability that chosen is the better one (1 a plain label, 0.5 a tie), and e the smoothing:
 *
 * - `sigmoid`: right = p(1-e) + (1-p)e, wrong = 1 - right. e > 0 is Mitchell's conservative DPO.
 * - `robust`: right = [p(1-e) - (1-p)e] / (1-2e), wrong = 1 - right. Chowdhury et al. 2024 (arXiv:2403.00409), whose loss
 *   has no bias where a share e of the labels is flipped; ours: its expectation over p.
 * - `rao_kupper`: a tie counts fully in both directions (see `preferenceLoss`), a soft label p : 1 - p.
 * - else right = p, wrong = 1 - p.
 *
 * @param label p, in [0.5, 1]
 */
export const labelWeights = (
  { labelSmoothing: e, lossType }: Pick<PreferenceLoss, "labelSmoothing" | "lossType">,
  label: number
): { readonly right: number; readonly wrong: number } => {
  if (lossType === "rao_kupper" && label === 0.5) return { right: 1, wrong: 1 }
  const right = lossType === "sigmoid"
    ? label * (1 - e) + (1 - label) * e
    : lossType === "robust"
    ? (label * (1 - e) - (1 - label) * e) / (1 - 2 * e)
    : label
  return { right, wrong: 1 - right }
}

/**
 * The loss of each pair, [pair], with u = right and v = wrong of its label.
 *
 * - `sigmoid`, `robust`: -u log σ(βd) - v log σ(-βd). Rafailov et al. 2023, eq. 7 (arXiv:2305.18290), for u = 1. ln 2 while
 *   policy and reference agree.
 * - `rao_kupper`: -u log σ(βd - log ν) - v log σ(-βd - log ν): Rao & Kupper's model of wins and ties as a DPO loss, Chen et
 *   al. 2024 (arXiv:2409.17431). With u = v = 1 it is -log P(tie) but for the constant log(ν² - 1), left out.
 * - `hinge`: u max(0, 1 - βd) + v max(0, 1 + βd). Zhao et al. 2023, SLiC (arXiv:2305.10425), for u = 1.
 * - `ipo`: (c/|chosen| - r/|rejected| - (u - v)/(2β))². Azar et al. 2023, eq. 17 (arXiv:2310.12036), for u = 1, and the
 *   same up to a constant as their expectation over the label; averaged over tokens, as TRL's DPOTrainer does and the
 *   paper does not.
 */
export const preferenceLoss = (g: Graph, { beta, lossType, nu = 3 }: PreferenceLoss, x: PairLogps): Value => {
  const c = g.sub(x.chosen, x.refChosen)
  const r = g.sub(x.rejected, x.refRejected)
  if (lossType === "ipo") {
    const gap = g.sub(g.div(c, x.chosenLength), g.div(r, x.rejectedLength))
    const miss = g.sub(gap, g.scale(g.sub(x.right, x.wrong), 1 / (2 * beta)))
    return g.mul(miss, miss)
  }
  const scaled = g.scale(g.sub(c, r), beta)
  // -log σ(y - margin) is softplus(margin - y); the hinge is the same bend with a corner.
  const margin = g.scalar(lossType === "hinge" ? 1 : lossType === "rao_kupper" ? Math.log(nu) : 0)
  const bend = lossType === "hinge" ? "Relu" : "Softplus"
  const right = g.emit(bend, [g.sub(margin, scaled)])
  const wrong = g.emit(bend, [g.add(margin, scaled)])
  return g.add(g.mul(x.right, right), g.mul(x.wrong, wrong))
}

/** Sums of `logps` [token] by sequence: `segments` [token] int64 says whose each is, `zeros` [sequence] says how many. */
export const sumBySequence = (g: Graph, logps: Value, segments: Value, zeros: Value): Value => {
  if (logps.shape.join() !== segments.shape.join()) wrongShape(`logps [${logps.shape}], segments [${segments.shape}]`)
  return g.emit("ScatterElements", [zeros, segments, logps], { axis: 0, reduction: "add" })
}
