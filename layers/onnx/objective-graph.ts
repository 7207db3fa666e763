/** An objective's graph on log-probabilities that are given: its loss, and by how much each token's log-probability moves it. */
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { type ObjectiveFeed, type Share } from "../../src/objectives/objective.ts"
import { type ChosenObjective, objectiveOf } from "../../src/objectives/objectives.ts"
import { sumBySequence } from "../../src/objectives/sums.ts"
import { type Feeds, float32, int64 } from "./session.ts"

/** Feeds of what an objective adds to a graph. */
export const objectiveFeeds = (feeds: Readonly<Record<string, ObjectiveFeed>>): Feeds =>
  Object.fromEntries(Object.entries(feeds).map(([name, { data, type }]) => [
    name,
    type === "int64" ? int64([data.length], data) : float32([data.length], Float32Array.from(data))
  ]))

/** Outputs `loss` [1] and `slope` [token]: dLoss/dlogp. */
export const objectiveGraph = (chosen: ChosenObjective): Graph => {
  const objective = objectiveOf(chosen)
  const g = new Graph()
  const tokens = g.input("tokens", "float32", ["token"])
  const segments = g.input("segments", "int64", ["token"])
  const zeros = g.input("zeros", "float32", ["sequence"])
  const referenceTokens = objective.reference(chosen) ? g.input("reference_tokens", "float32", ["token"]) : undefined
  const loss = objective.loss(g, chosen, {
    tokens,
    segments,
    logps: sumBySequence(g, tokens, segments, zeros),
    reference: referenceTokens === undefined ? zeros : sumBySequence(g, referenceTokens, segments, zeros),
    referenceTokens,
    concentrations: objective.concentrations?.(chosen) === true ? g.input("concentrations", "float32", ["token"]) : undefined,
    lengths: g.input("lengths", "float32", ["sequence"])
  })
  g.output("loss", loss)
  g.output("slope", gradients(g, loss, g.constant([1], [1]), [tokens])[0]!)
  return g
}

/** Log-probabilities by sequence, then by completion token, nats. */
export type PerToken = ReadonlyArray<ReadonlyArray<number>>

/** One run's share, its log-probabilities given. */
export interface GivenShare extends Share {
  readonly tokens: PerToken
  /** Read if the objective has a reference. */
  readonly referenceTokens: PerToken
  /** log Σ p² at each token; read if the objective asks for it. */
  readonly concentrations?: PerToken
}

export const givenFeeds = (chosen: ChosenObjective, { concentrations = [], referenceTokens, tokens, ...share }: GivenShare): Feeds => {
  const all = (rows: PerToken) => float32([rows.flat().length], Float32Array.from(rows.flat()))
  return {
    tokens: all(tokens),
    segments: int64([tokens.flat().length], tokens.flatMap((row, n) => row.map(() => n))),
    zeros: float32([tokens.length], new Float32Array(tokens.length)),
    reference_tokens: all(referenceTokens),
    concentrations: all(concentrations),
    lengths: float32([tokens.length], Float32Array.from(share.lengths)),
    ...objectiveFeeds(objectiveOf(chosen).feeds(chosen, share))
  }
}
