/**
 * AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), clipping and schedules, with the arithmetic of torch and
 * transformers.
 */
import type { Parameters, Tensor } from "../weights/tensor.ts"
import { zeros } from "../weights/tensor.ts"

export interface AdamWOptions {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Decoupled: the parameter shrinks by learningRate * weightDecay each step. */
  readonly weightDecay: number
}

/** Owned by its optimizer and changed in place. */
export interface AdamWState {
  /** Updates made so far. */
  step: number
  /** `exp_avg.<name>` and `exp_avg_sq.<name>`, each in the shape of the parameter. */
  readonly moments: Map<string, Tensor>
}

export const initialState = (): AdamWState => ({ step: 0, moments: new Map() })

/** Norms and biases are not decayed, as in transformers' Trainer. */
const decays = (name: string): boolean => !/norm|bias|embedding|logit_scale/.test(name)

/** One update of `parameters`, in place. Parameters without a gradient do not change. */
export const adamwStep = (
  parameters: Parameters,
  gradients: ReadonlyMap<string, Float32Array>,
  state: AdamWState,
  options: AdamWOptions
): void => {
  state.step += 1
  const { beta1, beta2, epsilon, learningRate, weightDecay } = options
  const rate = learningRate / (1 - beta1 ** state.step)
  const correction = 1 / Math.sqrt(1 - beta2 ** state.step)
  for (const [name, { data: p, shape }] of parameters) {
    const g = gradients.get(name)
    if (g === undefined) continue
    const m = moment(state, `exp_avg.${name}`, shape)
    const v = moment(state, `exp_avg_sq.${name}`, shape)
    const keep = decays(name) ? 1 - learningRate * weightDecay : 1
    for (let i = 0; i < p.length; i++) {
      const gi = g[i]!
      const mi = (m[i] = beta1 * m[i]! + (1 - beta1) * gi)
      const vi = (v[i] = beta2 * v[i]! + (1 - beta2) * gi * gi)
      p[i] = p[i]! * keep - rate * mi / (Math.sqrt(vi) * correction + epsilon)
    }
  }
}

const moment = (state: AdamWState, name: string, shape: ReadonlyArray<number>): Float32Array => {
  const known = state.moments.get(name) ?? zeros(shape)
  state.moments.set(name, known)
  return known.data
}

/** Euclidean norm over all gradients together. */
const globalNorm = (gradients: ReadonlyMap<string, Float32Array>): number => {
  let sum = 0
  for (const g of gradients.values()) for (let i = 0; i < g.length; i++) sum += g[i]! * g[i]!
  return Math.sqrt(sum)
}

/**
 * Scales all gradients in place so that their global norm is at most `maxNorm` (torch's clip_grad_norm_, its 1e-6 in the
 * denominator included). `maxNorm` 0 clips nothing.
 *
 * @returns the norm before clipping
 */
export const clipGradients = (gradients: ReadonlyMap<string, Float32Array>, maxNorm: number): number => {
  const norm = globalNorm(gradients)
  const factor = maxNorm / (norm + 1e-6)
  if (maxNorm > 0 && factor < 1) for (const g of gradients.values()) for (let i = 0; i < g.length; i++) g[i]! *= factor
  return norm
}

/** transformers' names. */
export type SchedulerType = "constant" | "constant_with_warmup" | "linear" | "cosine"
export const schedulerTypes: ReadonlyArray<SchedulerType> = ["constant", "constant_with_warmup", "linear", "cosine"]

/** Multiplier of the learning rate for update `step` (from 0): linear warm-up, then the schedule. */
export const schedule = (type: SchedulerType, step: number, warmupSteps: number, totalSteps: number): number => {
  if (type === "constant") return 1
  if (step < warmupSteps) return step / Math.max(1, warmupSteps)
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps)
  if (type === "cosine") return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)))
  return type === "linear" ? Math.max(0, 1 - progress) : 1
}
