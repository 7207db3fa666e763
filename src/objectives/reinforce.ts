import { advantageMetrics } from "./advantage-metrics.ts"
import { float32s, int64s, type Objective } from "./objective.ts"

/**
 * Policy gradient with a baseline: -Σ weight · advantage · log π(completion) / Σ weight, with log π summed over the
 * completion's tokens, nats (Williams 1992, REINFORCE). Where policy and sampler agree, its gradient is that of TRL's
 * RLOO loss. The baseline is in the advantage (lessons/advantage.ts). No reference, no clipping: a stale candidate only
 * gets less weight.
 */
export const reinforce: Objective = {
  learnsFrom: "advantages",
  reference: () => false,
  reads: [],
  title: "Policy gradient",
  source: "REINFORCE with a baseline, Williams 1992 (doi:10.1007/BF00992696)",
  loss: (g, _, { logps }) => {
    const own = g.emit("Gather", [logps, g.input("candidates", "int64", ["example"])])
    return g.sum(g.mul(own, g.input("scales", "float32", ["example"])), [0], true)
  },
  feeds: (_, { batch, examples }) => ({
    candidates: int64s(examples, ({ members: [candidate] }) => candidate),
    scales: float32s(examples, ({ signal, weight }) => -signal * weight / batch.weight)
  }),
  metrics: (_, stepped) => advantageMetrics(stepped)
}
