/** An objective's graph on log-probabilities that are given, run by onnxruntime. */
import { createSession, type Feeds, float32, int64 } from "../../layers/onnx/session.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { type Example, type ObjectiveFeed, type Stepped, totalsOf } from "../../src/objectives/objective.ts"
import { type ChosenObjective, objectiveOf } from "../../src/objectives/objectives.ts"
import { sumBySequence } from "../../src/objectives/sums.ts"

const tensors = (feeds: Readonly<Record<string, ObjectiveFeed>>): Feeds =>
  Object.fromEntries(Object.entries(feeds).map(([name, { data, type }]) =>
    [name, type === "int64" ? int64([data.length], data) : float32([data.length], Float32Array.from(data))]))

/**
 * Loss of some of a batch's examples, and its gradient by token.
 *
 * @param tokens log-probabilities of each sequence's completion tokens
 * @param reference the reference's log-probability of each completion, or of each of its tokens
 * @param old the tokens' log-probabilities before the batch's first update, if this is not the first
 * @param all the batch
 * @param examples those of it in this run
 */
export const lossAndSlope = async (
  chosen: ChosenObjective,
  { concentrations = [], old, reference, tokens }: {
    /** log Σ p² at each token. Default -1. */
    readonly concentrations?: ReadonlyArray<ReadonlyArray<number>>
    readonly reference: ReadonlyArray<number> | ReadonlyArray<ReadonlyArray<number>>
    readonly tokens: ReadonlyArray<ReadonlyArray<number>>
    readonly old?: ReadonlyArray<ReadonlyArray<number>> | undefined
  },
  all: ReadonlyArray<Example>,
  examples = all
) => {
  const objective = objectiveOf(chosen)
  const lengths = tokens.map((row) => row.length)
  const perToken = reference.map((of, n) => (typeof of === "number" ? tokens[n]!.map(() => of / tokens[n]!.length) : of))
  const prepared = objective.prepare?.(chosen, { examples: all, lengths, tokens, referenceTokens: perToken }) ?? all
  const own = examples.map((example) => prepared[all.indexOf(example)] ?? example)
  const g = new Graph()
  const token = g.input("tokens", "float32", ["token"])
  const segments = g.input("segments", "int64", ["token"])
  const logps = sumBySequence(g, token, segments, g.input("zeros", "float32", ["sequence"]))
  const loss = objective.loss(g, chosen, {
    tokens: token,
    segments,
    logps,
    reference: g.input("reference", "float32", ["sequence"]),
    referenceTokens: objective.reference(chosen) ? g.input("reference_tokens", "float32", ["token"]) : undefined,
    concentrations: objective.concentrations?.(chosen) === true ? g.input("concentrations", "float32", ["token"]) : undefined,
    lengths: g.input("lengths", "float32", ["sequence"])
  })
  g.output("loss", loss)
  g.output("slope", gradients(g, loss, g.constant([1], [1]), [token])[0]!)
  const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped" })
  const out = await session.run({
    tokens: float32([tokens.flat().length], Float32Array.from(tokens.flat())),
    segments: int64([tokens.flat().length], tokens.flatMap((row, n) => row.map(() => n))),
    zeros: float32([tokens.length], new Float32Array(tokens.length)),
    reference: float32([tokens.length], Float32Array.from(perToken, (row) => row.reduce((sum, x) => sum + x, 0))),
    reference_tokens: float32([perToken.flat().length], Float32Array.from(perToken.flat())),
    concentrations: float32([tokens.flat().length], Float32Array.from(tokens.flatMap((row, n) => concentrations[n] ?? row.map(() => -1)))),
    lengths: float32([tokens.length], Float32Array.from(lengths)),
    ...tensors(objective.feeds(chosen, { examples: own.map((example) => ({ drawn: tokens[example.members[0]]!, ...example })), lengths, old, batch: totalsOf(all, lengths) }))
  })
  await session.release()
  return { loss: Number(out["loss"]!.data[0]), slope: Array.from(out["slope"]!.data, Number) }
}

/** A batch after its first update. @param reference the reference's log-probability of each completion */
export const steppedOf = (
  examples: ReadonlyArray<Example>,
  { old, reference, tokens }: { readonly reference: ReadonlyArray<number>; readonly tokens: Stepped["tokens"]; readonly old?: Stepped["tokens"] | undefined }
): Stepped => ({
  examples: examples.map((example) => ({ drawn: tokens[example.members[0]]!, ...example })),
  policy: Float64Array.from(tokens, (row) => row.reduce((a, b) => a + b, 0)),
  reference: Float64Array.from(reference),
  lengths: tokens.map((row) => row.length),
  tokens,
  old: old ?? tokens,
  referenceTokens: tokens.map((row, n) => row.map(() => reference[n]! / row.length))
})
