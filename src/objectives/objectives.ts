/** THE table of objectives: a new one is a file and a row here. */
import { crossEntropy } from "./cross-entropy.ts"
import { apoDown, apoZero, bcoPair, discopop, exoPair, hinge, ipo, ncaPair, raoKupper, robust, sigmoid, sigmoidNorm, sppoHard } from "./dpo.ts"
import { bnpo, cispo, dapo, drGrpo, grpo, sapo } from "./grpo.ts"
import type { Objective, ObjectiveSettings } from "./objective.ts"
import { reinforce } from "./reinforce.ts"
import { sft } from "./sft.ts"

/** By `loss_type`: TRL's names where TRL has them. */
export const objectives = {
  sigmoid,
  hinge,
  ipo,
  robust,
  rao_kupper: raoKupper,
  sigmoid_norm: sigmoidNorm,
  exo_pair: exoPair,
  discopop,
  nca_pair: ncaPair,
  bco_pair: bcoPair,
  sppo_hard: sppoHard,
  apo_zero: apoZero,
  apo_down: apoDown,
  sft,
  reinforce,
  grpo,
  dapo,
  bnpo,
  dr_grpo: drGrpo,
  cispo,
  sapo,
  cross_entropy: crossEntropy
} satisfies Readonly<Record<string, Objective>>

export type ObjectiveName = keyof typeof objectives

/** An objective and its settings: plain data that can be sent to a trainer's thread. */
export interface ChosenObjective extends ObjectiveSettings {
  readonly lossType: ObjectiveName
}

export const objectiveOf = ({ lossType }: Pick<ChosenObjective, "lossType">): Objective => objectives[lossType]

const names = Object.keys(objectives) as Array<ObjectiveName>

/** The objectives that a run of the pipeline can minimise: those that learn from a judge. */
export const judgedObjectives = names.filter((name) => objectives[name].learnsFrom !== "completions")

export const isObjective = (name: unknown): name is ObjectiveName => typeof name === "string" && Object.hasOwn(objectives, name)
