import type { Objective } from "./objective.ts"

/** Supervised fine-tuning: -Σ log π(token) / tokens over all completion tokens of the batch, nats. Ignores weights. */
export const crossEntropy: Objective = {
  learnsFrom: "completions",
  reference: () => false,
  reads: [],
  title: "Supervised fine-tuning",
  source: "maximum likelihood; TRL's SFTTrainer with completion_only_loss",
  loss: (g, _, { tokens }) => g.sum(g.mul(tokens, g.input("scale", "float32", [1])), [0], true),
  feeds: (_, { batch }) => ({ scale: { type: "float32", data: [-1 / batch.tokens] } }),
  metrics: () => ({})
}
