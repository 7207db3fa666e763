/** The graphs of a trainer's sessions: log-probabilities, and an objective with its gradients. */
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import { forward } from "../../src/engine/nets/transformer.ts"
import type { Weights } from "../../src/engine/weights/parameters.ts"
import { objectiveOf } from "../../src/objectives/objectives.ts"
import { sumBySequence } from "../../src/objectives/sums.ts"
import type { TrainerSpec } from "./trainer-program.ts"

const trainableWeights = ({ checkpoint, lora }: TrainerSpec): Weights => ({
  index: checkpoint.index,
  trainable: lora === undefined ? "all" : "none",
  lora
})

/** The prefix of the names of a reference's parameters, to tell them from the policy's in one graph. */
export const referencePrefix = "reference."

const referenceWeights = ({ checkpoint, lora, reference }: TrainerSpec): Weights => ({
  index: checkpoint.index,
  trainable: lora === undefined && reference !== undefined ? "all" : "none",
  lora: reference === undefined ? undefined : lora,
  inputPrefix: referencePrefix
})

const withGradients = (g: Graph, spec: TrainerSpec, loss: Value, stream: ReadonlyArray<Value>): Graph => {
  const wrt = g.inputs.filter(({ name }) => spec.parameters.has(name))
  const kept = spec.options.gradientCheckpointing ? stream : []
  gradients(g, loss, g.constant([1], [1]), wrt, kept).forEach((dx, i) => {
    if (dx !== undefined) g.output(`grad.${wrt[i]!.name}`, dx)
  })
  return g
}

const logpsOf = (g: Graph, { checkpoint, options }: TrainerSpec, weights: Weights, derivative: boolean, concentrated = false) =>
  forward(g, checkpoint.config, weights, options.maxLength, derivative, concentrated)

const scoring = (spec: TrainerSpec, weights: Weights): Graph => {
  const g = new Graph()
  g.output("logps", logpsOf(g, spec, weights, false).logps)
  return g
}

/** The graphs of a trainer's sessions. */
export const graphs = {
  /** A training session does all its work even when asked for less, so scoring has its own graphs. */
  policy: (spec: TrainerSpec): Graph => scoring(spec, trainableWeights(spec)),
  reference: (spec: TrainerSpec): Graph => scoring(spec, referenceWeights(spec)),
  /** Both, before the update of a loss that must know the whole batch. */
  both: (spec: TrainerSpec): Graph => {
    const g = scoring(spec, trainableWeights(spec))
    g.output("reference", logpsOf(g, spec, referenceWeights(spec), false).logps)
    return g
  },
  /** Policy and reference in one session: two would each map the weights, and each page would count twice. */
  objective: (spec: TrainerSpec): Graph => {
    const g = new Graph()
    return g.within("objective", () => {
      const objective = objectiveOf(spec.objective)
      const { concentrations, logps: tokens, stream } = logpsOf(g, spec, trainableWeights(spec), true, objective.concentrations?.(spec.objective))
      const zeros = g.input("zeros", "float32", ["sequence"])
      const segments = g.input("segments", "int64", ["token"])
      const logps = sumBySequence(g, tokens, segments, zeros)
      const referenceTokens = objective.reference(spec.objective) ? logpsOf(g, spec, referenceWeights(spec), false).logps : undefined
      const reference = referenceTokens === undefined ? zeros : sumBySequence(g, referenceTokens, segments, zeros)
      const lengths = g.input("lengths", "float32", ["sequence"])
      const loss = objective.loss(g, spec.objective, { tokens, segments, logps, reference, referenceTokens, concentrations, lengths })
      g.output("loss", loss)
      g.output("logps", logps)
      g.output("tokens", tokens)
      if (referenceTokens !== undefined) {
        g.output("reference", reference)
        g.output("reference_tokens", referenceTokens)
      }
      if (concentrations !== undefined) g.output("concentrations", concentrations)
      return withGradients(g, spec, loss, stream)
    })
  }
}
