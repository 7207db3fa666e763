/** THE table of objectives: a new one is a file and a row here. */
import { aot, aotUnpaired } from "./aot.ts"
import { crossEntropy } from "./cross-entropy.ts"
import { apoDown, apoZero, bcoPair, discopop, exoPair, hinge, ipo, ncaPair, raoKupper, robust, sigmoid, sigmoidNorm, sppoHard } from "./dpo.ts"
import { bnpo, cispo, dapo, drGrpo, grpo, sapo } from "./grpo.ts"
import type { Objective, ObjectiveSettings } from "./objective.ts"
import { mixture, type PairRow } from "./pair-objective.ts"
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
  aot,
  aot_unpaired: aotUnpaired,
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
  readonly lossType: LossType
  /** Of a list: what each of its losses is multiplied with. Default 1 each. */
  readonly lossWeights?: ReadonlyArray<number> | undefined
}

/** One objective, or losses of pairs of which a weighted sum is minimised: TRL's `loss_type`. */
export type LossType = ObjectiveName | ReadonlyArray<ObjectiveName>

export const lossNames = (lossType: LossType): ReadonlyArray<ObjectiveName> => typeof lossType === "string" ? [lossType] : lossType

/** As a person gives it. */
export const lossTypeText = (lossType: LossType): string => lossNames(lossType).join(",")

/** Why these losses cannot be added up, a sentence, or undefined if they can. */
export const notAdded = (names: ReadonlyArray<ObjectiveName>): string | undefined => {
  const twice = names.find((name, n) => names.indexOf(name) < n)
  if (twice !== undefined) return `loss_type names ${twice} twice: name it once, with the sum of both loss_weights.`
  const odd = names.find((name) => name !== "sft" && rowOf(name) === undefined)
  return odd === undefined ? undefined : `loss_type adds up losses of pairs and sft only, and ${odd} is none: give it alone.`
}

const rowOf = (name: ObjectiveName): PairRow | undefined => {
  const objective: Objective & Partial<PairRow> = objectives[name]
  return objective.pairLoss === undefined || objective.labelWeights === undefined ? undefined : { ...objective, pairLoss: objective.pairLoss, labelWeights: objective.labelWeights }
}

/** Throws for a list that `notAdded` refuses. */
export const objectiveOf = ({ lossType, lossWeights }: Pick<ChosenObjective, "lossType" | "lossWeights">): Objective => {
  const names = lossNames(lossType)
  if (names.length === 1) return objectives[names[0]!]
  const problem = notAdded(names)
  if (problem !== undefined) throw new Error(problem)
  const weightOf = (n: number) => lossWeights?.[n] ?? 1
  const terms = names.flatMap((name, n) => name === "sft" ? [] : [{ row: rowOf(name)!, weight: weightOf(n) }])
  return mixture(terms, names.includes("sft") ? weightOf(names.indexOf("sft")) : undefined)
}

/** How often the chosen drawings' NLL is in a loss of pairs. */
export const likelihoodIn = (chosen: ChosenObjective): number => {
  const names = lossNames(chosen.lossType)
  if (names.length > 1 && names.includes("sft")) return chosen.lossWeights?.[names.indexOf("sft")] ?? 1
  return objectiveOf(chosen).reads.includes("rpoAlpha") ? chosen.rpoAlpha ?? 0 : 0
}

const names = Object.keys(objectives) as Array<ObjectiveName>

/** The objectives that a run of the pipeline can minimise: those that learn from a judge. */
export const judgedObjectives = names.filter((name) => objectives[name].learnsFrom !== "completions")

export const isObjective = (name: unknown): name is ObjectiveName => typeof name === "string" && Object.hasOwn(objectives, name)

/** A config.json's `loss_type`; undefined if it is none. */
export const lossTypeIn = (stored: unknown): LossType | undefined =>
  isObjective(stored) || (Array.isArray(stored) && stored.length > 0 && stored.every(isObjective) && notAdded(stored) === undefined) ? stored : undefined
