/**
 * Losses as graph functions. In all preference losses c and r are the log-ratios of the chosen and the rejected
 * completion, log pi - log ref in nats, summed over completion tokens (the end-of-sequence token counts, prompt and
 * prefill do not), and d = c - r.
 */
import type { Graph, Value } from "./graph.ts"
import { wrongShape } from "./shape-error.ts"

/** TRL's names. */
export type LossType = "sigmoid" | "hinge" | "ipo" | "robust"
export const lossTypes: ReadonlyArray<LossType> = ["sigmoid", "hinge", "ipo", "robust"]

export interface PreferenceLoss {
  readonly lossType: LossType
  /** Temperature of the implicit reward, > 0; larger holds the policy nearer to the reference. */
  readonly beta: number
  /** Chance that a label is wrong: [0, 0.5). Read by `sigmoid` (conservative DPO) and `robust` only. */
  readonly labelSmoothing: number
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
}

/**
 * The loss of each pair, [pair].
 *
 * - `sigmoid`: -(1-e) log σ(βd) - e log σ(-βd). Rafailov et al. 2023, eq. 7 (arXiv:2305.18290); e > 0 is Mitchell's
 *   conservative DPO. ln 2 while policy and reference agree.
 * - `robust`: [-(1-e) log σ(βd) + e log σ(-βd)] / (1-2e). Chowdhury et al. 2024 (arXiv:2403.00409).
 * - `hinge`: max(0, 1 - βd). Zhao et al. 2023, SLiC (arXiv:2305.10425).
 * - `ipo`: (c/|chosen| - r/|rejected| - 1/(2β))². Azar et al. 2023, eq. 17 (arXiv:2310.12036); averaged over tokens, as
 *   TRL's DPOTrainer does and the paper does not.
 */
export const preferenceLoss = (g: Graph, loss: PreferenceLoss, x: PairLogps): Value => {
  const { beta, labelSmoothing: e } = loss
  const c = g.sub(x.chosen, x.refChosen)
  const r = g.sub(x.rejected, x.refRejected)
  const scaled = g.scale(g.sub(c, r), beta)
  const wrong = () => g.emit("Softplus", [scaled]) // -log σ(-βd)
  const right = () => g.emit("Softplus", [g.neg(scaled)]) // -log σ(βd)
  switch (loss.lossType) {
    case "sigmoid":
      return e === 0 ? right() : g.add(g.scale(right(), 1 - e), g.scale(wrong(), e))
    case "robust":
      return g.scale(g.sub(g.scale(right(), 1 - e), g.scale(wrong(), e)), 1 / (1 - 2 * e))
    case "hinge":
      return g.emit("Relu", [g.sub(g.scalar(1), scaled)])
    case "ipo": {
      const gap = g.sub(g.div(c, x.chosenLength), g.div(r, x.rejectedLength))
      const miss = g.sub(gap, g.scalar(1 / (2 * beta)))
      return g.mul(miss, miss)
    }
  }
}

/** Sums of `logps` [token] by sequence: `segments` [token] int64 says whose each is, `zeros` [sequence] says how many. */
export const sumBySequence = (g: Graph, logps: Value, segments: Value, zeros: Value): Value => {
  if (logps.shape.join() !== segments.shape.join()) wrongShape(`logps [${logps.shape}], segments [${segments.shape}]`)
  return g.emit("ScatterElements", [zeros, segments, logps], { axis: 0, reduction: "add" })
}
