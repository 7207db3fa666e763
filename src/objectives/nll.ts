/**
 * The negative log-likelihood of the chosen completions of a batch's pairs, nats a token:
 *
 *     -Σ i · log π(chosen) / Σ i · |chosen|,   i = weight · (2 · label - 1)
 *
 * For plain labels of weight 1 it is TRL's: a mean over all chosen tokens of the batch, not over completions, in which a
 * completion counts once for each pair that it won. A tie has no chosen side and does not count; a soft label counts by
 * how sure it is (both ours).
 */
import type { Graph, Value } from "../engine/graph/graph.ts"
import { float32s, imitation, type ObjectiveFeed, type Share, type Stepped } from "./objective.ts"

/** @param chosen [pair] float32: log-probabilities of the chosen completions, nats */
export const chosenNll = (g: Graph, chosen: Value): Value =>
  g.sum(g.mul(chosen, g.input("imitations", "float32", ["pair"])), [0], true)

/** For the inputs that `chosenNll` adds. */
export const nllFeeds = ({ batch, examples }: Share): Readonly<Record<string, ObjectiveFeed>> => ({
  imitations: float32s(examples, (example) => (batch.imitated === 0 ? 0 : -imitation(example) / batch.imitated))
})

/** TRL's name; nothing where no pair has a chosen side. */
export const nllMetrics = ({ examples, lengths, policy }: Stepped): Readonly<Record<string, number>> => {
  const over = (of: (chosen: number) => number) => examples.reduce((sum, example) => sum + imitation(example) * of(example.members[0]), 0)
  const tokens = over((chosen) => lengths[chosen]!)
  return tokens === 0 ? {} : { nll_loss: -over((chosen) => policy[chosen]!) / tokens }
}
