/** An objective's graph on log-probabilities that are given, run by onnxruntime. */
import { ObjectiveProgram } from "../../layers/onnx/objective-program.ts"
import { type Example, type Stepped, totalsOf } from "../../src/objectives/objective.ts"
import { type ChosenObjective, objectiveOf } from "../../src/objectives/objectives.ts"

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
  const program = new ObjectiveProgram(chosen)
  const { loss, slope } = await program.slope({
    tokens,
    referenceTokens: perToken,
    concentrations: tokens.map((row, n) => concentrations[n] ?? row.map(() => -1)),
    lengths,
    old,
    batch: totalsOf(all, lengths),
    examples: own.map((example) => ({ drawn: tokens[example.members[0]]!, ...example }))
  })
  await program.release()
  return { loss, slope: slope.flat() }
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
