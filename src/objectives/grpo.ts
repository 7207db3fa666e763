/**
 * GRPO and its kin: policy gradients of single candidates, clipped by how far the policy has moved since the batch's first
 * update. Six losses of TRL 1.16's GRPOTrainer, with its names and options, and its defaults but for the importance weights.
 *
 * For a token, ρ = π / π_old, π_old the policy before the batch's first update; A is the candidate's advantage
 * (lessons/advantage.ts). With `importanceSamplingLevel` sequence, ρ is the geometric mean over the completion's tokens
 * (GSPO, Zheng et al. 2025, arXiv:2507.18071).
 *
 * Where candidates were not drawn from π_old (an older version, a sampler in fewer bits), each token's loss is multiplied
 * with π_old / π_drawn, through which no gradient flows, truncated or masked: TRL's `vllm_importance_sampling_mode`. TRL does
 * so for vLLM only, by default `sequence_mask`; here it always is, by default `token_truncate` (`none` turns it off).
 *
 * With beta > 0 each token adds beta · ρ · (π_ref / π - log(π_ref / π) - 1), the k3 estimate of KL(π, π_ref) (Schulman 2020),
 * weighed by ρ as TRL's `use_bias_correction_kl`, its default, has it.
 */
import type { Graph, Value } from "../engine/graph/graph.ts"
import { advantageMetrics, meanOf } from "./advantage-metrics.ts"
import { type Example, float32s, type Objective, type ObjectiveSettings, type ReadSetting, type Scored, type Share, type Stepped } from "./objective.ts"
import { detached, sumBySequence } from "./sums.ts"

const least = (g: Graph, x: Value, bound: number): Value => g.sub(g.scalar(bound), g.emit("Relu", [g.sub(g.scalar(bound), x)]))
const most = (g: Graph, x: Value, bound: number): Value => g.add(g.scalar(bound), g.emit("Relu", [g.sub(x, g.scalar(bound))]))
const smaller = (g: Graph, a: Value, b: Value): Value => g.sub(a, g.emit("Relu", [g.sub(a, b)]))
/** 1 where x is over the bound, else 0. */
const over = (g: Graph, x: Value, bound: number): Value =>
  g.emit("Cast", [g.emit("Cast", [g.emit("Relu", [g.sub(x, g.scalar(bound))])], { to: 9 })], { to: 1 })

const highOf = ({ epsilon = 0.2, epsilonHigh = 0 }: ObjectiveSettings): number => (epsilonHigh === 0 ? epsilon : epsilonHigh)

/** A token's loss from its ratio, the candidate's advantage and log π, each [token]. */
type TokenLoss = (g: Graph, settings: ObjectiveSettings, token: { readonly ratio: Value; readonly advantage: Value; readonly logp: Value }) => Value

/** -min(ρ A, clip(ρ, 1 - ε, 1 + ε_high) A), PPO's (Schulman et al. 2017, eq. 7); ρ of the first term at most `delta`. */
const clipped: TokenLoss = (g, settings, { advantage, ratio }) => {
  const { delta = 0, epsilon = 0.2 } = settings
  const bounded = most(g, least(g, ratio, 1 + highOf(settings)), 1 - epsilon)
  const free = delta === 0 ? ratio : least(g, ratio, delta)
  return g.neg(smaller(g, g.mul(free, advantage), g.mul(bounded, advantage)))
}

/** -min(ρ, ε_high) A log π, no gradient through the ratio (CISPO, MiniMax 2025, arXiv:2506.13585). */
const capped: TokenLoss = (g, settings, { advantage, logp, ratio }) =>
  g.neg(g.mul(g.mul(detached(g, least(g, ratio, highOf(settings))), advantage), logp))

/** -σ(τ (ρ - 1)) · 4/τ · A, τ by the sign of A (SAPO, Gao et al. 2025, arXiv:2511.20347). */
const soft: TokenLoss = (g, { sapoTemperatureNeg = 1.05, sapoTemperaturePos = 1 }, { advantage, ratio }) => {
  const positive = g.emit("Cast", [g.emit("Relu", [advantage])], { to: 9 })
  const gate = (temperature: number) =>
    g.scale(g.emit("Sigmoid", [g.scale(g.sub(ratio, g.scalar(1)), temperature)]), 4 / temperature)
  return g.neg(g.mul(g.emit("Where", [positive, gate(sapoTemperaturePos), gate(sapoTemperatureNeg)]), advantage))
}

/** What a batch's token losses are divided by. Weights count: with weights of 1 these are TRL's. */
type Norm = "sequence" | "token" | "longest"

/** Each token's factor in the loss of the batch. */
const factorOf = (norm: Norm, { maxCompletionLength = 1 }: ObjectiveSettings, { batch }: Share) => (weight: number, length: number): number => {
  switch (norm) {
    case "sequence": // a mean over candidates of means over tokens
      return weight / (batch.weight * length)
    case "token": // a mean over all tokens
      return weight / batch.weighedTokens
    case "longest":
      return weight / (batch.weight * maxCompletionLength)
  }
}

interface GrpoRow {
  readonly title: string
  readonly source: string
  readonly tokenLoss: TokenLoss
  readonly norm: Norm
  readonly reads: ReadonlyArray<ReadSetting>
}

const tokenLevel = (mode: ObjectiveSettings["importanceSamplingMode"]): boolean => mode === "token_truncate" || mode === "token_mask"

/** Sums of `x` [token] by sequence, given back to each of its tokens. */
const spread = (g: Graph, { segments }: Pick<Scored, "segments">, zeros: Value, x: Value): Value =>
  g.emit("Gather", [sumBySequence(g, x, segments, zeros), segments])

const grpoObjective = ({ norm, reads, source, title, tokenLoss }: GrpoRow): Objective => ({
  title,
  source,
  learnsFrom: "advantages",
  reference: ({ beta }) => beta > 0,
  reads: ["beta", "importanceSamplingLevel", "importanceSamplingMode", "importanceSamplingClipMax", ...reads],
  loss: (g, settings, scored) => {
    const { importanceSamplingClipMax = 3, importanceSamplingLevel = "token", importanceSamplingMode = "token_truncate" } = settings
    const { lengths, referenceTokens, segments, tokens } = scored
    const zeros = g.scale(lengths, 0)
    const input = (name: string) => g.input(name, "float32", ["token"])
    const fresh = g.emit("Cast", [g.input("fresh", "float32", [1])], { to: 9 })
    const old = g.emit("Where", [fresh, detached(g, tokens), input("old")])
    const moved = g.sub(tokens, old)
    const means = () => g.div(spread(g, scored, zeros, moved), g.emit("Gather", [lengths, segments]))
    const ratio = g.emit("Exp", [importanceSamplingLevel === "token" ? moved : means()])
    const policy = tokenLoss(g, settings, { ratio, advantage: input("advantages"), logp: tokens })
    const corrected = (loss: Value): Value => {
      if (importanceSamplingMode === "none") return loss
      const gap = g.sub(old, input("drawn"))
      const off = g.emit("Exp", [tokenLevel(importanceSamplingMode) ? gap : spread(g, scored, zeros, gap)])
      const weight = importanceSamplingMode.endsWith("truncate")
        ? least(g, off, importanceSamplingClipMax)
        : g.mul(off, g.sub(g.scalar(1), over(g, off, importanceSamplingClipMax)))
      return g.mul(loss, weight)
    }
    const loss = referenceTokens === undefined
      ? corrected(policy)
      : g.add(corrected(policy), g.scale(g.mul(ratio, divergence(g, g.sub(referenceTokens, tokens))), settings.beta))
    return g.sum(g.mul(loss, input("factors")), [0], true)
  },
  feeds: (settings, share) => {
    const { examples, lengths, old } = share
    const factor = factorOf(norm, settings, share)
    const of = new Map(examples.map((example) => [example.members[0], example]))
    // A sequence that no example is about counts nothing.
    const tokens = lengths.flatMap((length, n) => Array.from({ length }, (_, t) => ({ example: of.get(n), length, n, t })))
    return {
      fresh: { type: "float32", data: [old === undefined ? 1 : 0] },
      old: float32s(tokens, ({ n, t }) => old === undefined ? 0 : old[n]![t]!),
      advantages: float32s(tokens, ({ example }) => example?.signal ?? 0),
      factors: float32s(tokens, ({ example, length }) => example === undefined ? 0 : factor(example.weight, length)),
      ...((settings.importanceSamplingMode ?? "token_truncate") === "none" ? {} : { drawn: float32s(tokens, ({ example, t }) => example === undefined ? 0 : drawnOf(example)[t]!) })
    }
  },
  metrics: (settings, stepped) => ({ ...advantageMetrics(stepped), ...moves(tokenLoss, settings, stepped) })
})

/** exp(d) - d - 1 */
const divergence = (g: Graph, d: Value): Value => g.sub(g.sub(g.emit("Exp", [d]), d), g.scalar(1))

const drawnOf = ({ drawn }: Example): ReadonlyArray<number> => {
  if (drawn === undefined) throw new Error("a candidate without the log-probabilities that it was drawn with")
  return drawn
}

/** How far the policy moved, under TRL's names: means over tokens, or over candidates where ratios are theirs. */
const moves = (tokenLoss: TokenLoss, settings: ObjectiveSettings, { examples, old, referenceTokens, tokens }: Stepped): Record<string, number> => {
  const { epsilon = 0.2, importanceSamplingClipMax = 3, importanceSamplingLevel = "token", importanceSamplingMode = "token_truncate" } = settings
  const logRatios = ({ members: [n] }: Example): ReadonlyArray<number> => {
    const own = tokens[n]!.map((x, t) => x - old[n]![t]!)
    return importanceSamplingLevel === "token" ? own : [meanOf(own)]
  }
  const shareOf = (test: (ratio: number, advantage: number) => boolean) => (example: Example): ReadonlyArray<number> =>
    logRatios(example).map((x) => (test(Math.exp(x), example.signal) ? 1 : 0))
  const low = shareOf((ratio, advantage) => ratio < 1 - epsilon && advantage < 0)
  const high = shareOf((ratio, advantage) => ratio > 1 + highOf(settings) && advantage > 0)
  const region = shareOf((ratio, advantage) => advantage < 0 ? ratio < 1 - epsilon : advantage > 0 && ratio > 1 + highOf(settings))
  const off = (example: Example): ReadonlyArray<number> => {
    const [n] = example.members
    const gaps = old[n]!.map((x, t) => x - drawnOf(example)[t]!)
    return tokenLevel(importanceSamplingMode) ? gaps.map(Math.exp) : [Math.exp(gaps.reduce((sum, x) => sum + x, 0))]
  }
  // One a token: too many to be the arguments of a call.
  const ratios = importanceSamplingMode === "none" ? [] : examples.flatMap(off)
  return {
    ...(tokenLoss === clipped ? {
      "clip_ratio/low_mean": meanOf(examples.flatMap(low)),
      "clip_ratio/low_min": Math.min(...examples.map((example) => meanOf(low(example)))),
      "clip_ratio/high_mean": meanOf(examples.flatMap(high)),
      "clip_ratio/high_max": Math.max(...examples.map((example) => meanOf(high(example)))),
      "clip_ratio/region_mean": meanOf(examples.flatMap(region))
    } : {}),
    ...(tokenLoss === capped ? { cispo_clip_ratio: meanOf(examples.flatMap(shareOf((ratio, advantage) => ratio > highOf(settings) && advantage > 0))) } : {}),
    ...(ratios.length === 0 ? {} : {
      "sampling/importance_sampling_ratio/min": ratios.reduce((a, b) => Math.min(a, b)),
      "sampling/importance_sampling_ratio/mean": meanOf(ratios.map((x) =>
        importanceSamplingMode.endsWith("mask") && x > importanceSamplingClipMax ? 0 : Math.min(x, importanceSamplingClipMax))),
      "sampling/importance_sampling_ratio/max": ratios.reduce((a, b) => Math.max(a, b))
    }),
    ...(referenceTokens === undefined ? {} : {
      kl: meanOf(examples.flatMap((example) => {
        const [n] = example.members
        const ratios = logRatios(example)
        return tokens[n]!.map((x, t) => {
          const gap = referenceTokens[n]![t]! - x
          return Math.exp(ratios[t] ?? ratios[0]!) * (Math.exp(gap) - gap - 1)
        })
      }))
    })
  }
}

const clips = ["epsilon", "epsilonHigh", "delta"] as const

export const grpo = grpoObjective({
  title: "GRPO",
  source: "Shao et al. 2024, eq. 3 (arXiv:2402.03300), a mean over candidates of means over their tokens",
  tokenLoss: clipped,
  norm: "sequence",
  reads: clips
})

export const bnpo = grpoObjective({
  title: "GRPO",
  source: "TRL's bnpo: GRPO as a mean over the tokens of a batch. TRL's batch is a device's; here it is the whole step, so it equals dapo",
  tokenLoss: clipped,
  norm: "token",
  reads: clips
})

export const drGrpo = grpoObjective({
  title: "Dr. GRPO",
  source: "Liu et al. 2025 (arXiv:2503.20783): GRPO with sums over tokens divided by max_new_tokens",
  tokenLoss: clipped,
  norm: "longest",
  reads: clips
})

export const dapo = grpoObjective({
  title: "DAPO",
  source: "Yu et al. 2025, eq. 8 (arXiv:2503.14476): GRPO as a mean over all tokens of a step",
  tokenLoss: clipped,
  norm: "token",
  reads: clips
})

export const cispo = grpoObjective({
  title: "CISPO",
  source: "MiniMax 2025, eq. 4 (arXiv:2506.13585), capped from above alone as TRL does",
  tokenLoss: capped,
  norm: "token",
  reads: ["epsilon", "epsilonHigh"]
})

export const sapo = grpoObjective({
  title: "SAPO",
  source: "Gao et al. 2025 (arXiv:2511.20347): a sigmoid of the ratio in place of the clip",
  tokenLoss: soft,
  norm: "sequence",
  reads: ["sapoTemperaturePos", "sapoTemperatureNeg"]
})
