/**
 * A round in the words of `trl dpo` (TRL 1.16.0, scripts/dpo.py): its arguments, the state that its trainer resumes from, and what
 * it leaves.
 *
 * The command line can begin a new adapter but not go on with one, unless it resumes: so each round resumes from a checkpoint at
 * step 0 whose adapter is the policy. The reference is then the base with its adapter switched off, as here. Such a checkpoint has
 * no optimizer state: every round begins with fresh moments.
 */
import { Schema } from "effect"
import { schedule } from "../../src/engine/training/adamw.ts"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import { type ChosenObjective, lossNames, type ObjectiveName } from "../../src/objectives/objectives.ts"
import type { TrainerOptions } from "../onnx/trainer-program.ts"
import type { JobPaths } from "./cluster.ts"

/** Losses that are the same in TRL. */
export const trlLosses: ReadonlySet<ObjectiveName> = new Set([
  "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"
])

/** Arguments that say where files lie and how long a round is: not to be overruled. */
const ours: ReadonlySet<string> = new Set(["output_dir", "resume_from_checkpoint", "dataset_name", "model_name_or_path", "max_steps", "save_steps", "config"])

/** The first argument that may not be given, or undefined. */
export const notGiven = (more: ReadonlyArray<string>): string | undefined =>
  more.find((word) => word.startsWith("--") && ours.has(word.slice(2).split("=")[0]!.replaceAll("-", "_")))

export interface Trl {
  readonly objective: ChosenObjective
  /** `totalSteps` counts the updates of all rounds. */
  readonly options: TrainerOptions
  readonly lora: LoraConfig
  readonly seed: number
  /** Updates of one round. */
  readonly steps: number
  /** Pairs an update, on each device. */
  readonly batchSize: number
  /** Arguments that follow ours and so overrule them. */
  readonly more: ReadonlyArray<string>
}

export interface RoundOf {
  /** The policy's version, which the round turns into the next. */
  readonly version: number
  /** Updates before this round. */
  readonly updates: number
  /** The learning rate is multiplied with it. */
  readonly rate: number
  /** Tokens of the longest sequence. */
  readonly longest: number
}

/** The schedule goes over all rounds; within one the rate stands still, at its mean over the round. */
export const learningRate = ({ options: o, steps }: Trl, { rate, updates }: Pick<RoundOf, "rate" | "updates">): number =>
  rate * o.learningRate * Array.from({ length: steps }, (_, n) => schedule(o.schedulerType, updates + n, o.warmupSteps, o.totalSteps)).reduce((a, b) => a + b) / steps

const lossesOf = ({ lossType, lossWeights, rpoAlpha = 0 }: ChosenObjective) => {
  const names = lossNames(lossType)
  const weights = lossWeights ?? names.map(() => 1)
  return rpoAlpha > 0 && !names.includes("sft") ? { names: [...names, "sft"], weights: [...weights, rpoAlpha] } : { names, weights }
}

/** What decides a round's numbers besides its rows and its start; no paths. */
export const trlSettings = (trl: Trl, round: RoundOf): ReadonlyArray<string> => {
  const { batchSize, lora, more, objective: o, options, seed, steps } = trl
  const { names, weights } = lossesOf(o)
  const set = (name: string, value: string | number | boolean | undefined) => value === undefined ? [] : [`--${name}`, String(value)]
  return [
    ...set("dtype", "float32"),
    ...set("bf16", false),
    "--use_peft",
    ...set("lora_r", lora.r),
    ...set("lora_alpha", lora.alpha),
    ...set("lora_dropout", 0),
    "--lora_target_modules", ...lora.targets,
    ...(lora.rankStabilized === true ? ["--use_rslora"] : []),
    "--loss_type", ...names,
    "--loss_weights", ...weights.map(String),
    ...set("beta", o.beta),
    ...set("label_smoothing", o.labelSmoothing),
    ...set("ld_alpha", o.ldAlpha === 1 ? undefined : o.ldAlpha),
    ...set("use_weighting", o.useWeighting),
    ...set("f_divergence_type", o.fDivergenceType),
    ...set("f_alpha_divergence_coef", o.fAlphaDivergenceCoef),
    ...set("discopop_tau", o.discopopTau),
    ...set("learning_rate", learningRate(trl, round)),
    ...set("lr_scheduler_type", "constant"),
    ...set("warmup_steps", 0),
    ...set("weight_decay", options.weightDecay),
    ...set("max_grad_norm", options.maxGradNorm),
    ...set("adam_beta1", options.adamBeta1),
    ...set("adam_beta2", options.adamBeta2),
    ...set("adam_epsilon", options.adamEpsilon),
    ...set("gradient_checkpointing", options.gradientCheckpointing),
    ...set("max_steps", steps),
    ...set("per_device_train_batch_size", batchSize),
    ...set("gradient_accumulation_steps", 1),
    ...set("max_length", round.longest),
    ...set("seed", seed + round.version),
    ...more
  ]
}

/** The round's checkpoint under `output`. */
export const checkpointOf = ({ steps }: Pick<Trl, "steps">): string => `checkpoint-${steps}`

/** The whole command after the program's name. */
export const trlArguments = (trl: Trl, { model, output, revision, rows, start }: JobPaths, settings: ReadonlyArray<string>): ReadonlyArray<string> => [
  "dpo",
  "--model_name_or_path", model,
  ...(revision === undefined ? [] : ["--model_revision", revision]),
  "--dataset_name", rows,
  "--output_dir", output,
  "--resume_from_checkpoint", start,
  "--logging_steps", "1",
  "--save_strategy", "steps",
  "--save_steps", String(trl.steps),
  "--save_only_model", "true",
  "--disable_tqdm", "true",
  "--report_to", "none",
  ...settings
]

/** `trainer_state.json` of a checkpoint at step 0; transformers 5.23 reads `train_batch_size` and `TrainerControl` of it. */
export const stateAtStart = ({ batchSize, steps }: Trl): string => JSON.stringify({
  epoch: 0,
  global_step: 0,
  max_steps: steps,
  logging_steps: 1,
  eval_steps: steps,
  save_steps: steps,
  train_batch_size: batchSize,
  num_train_epochs: 1,
  log_history: [],
  stateful_callbacks: {
    TrainerControl: {
      args: { should_training_stop: false, should_epoch_stop: false, should_save: false, should_evaluate: false, should_log: false },
      attributes: {}
    }
  }
}, null, 2) + "\n"

const TrainerState = Schema.fromJsonString(Schema.Struct({
  global_step: Schema.Int,
  log_history: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)).check(Schema.isMaxLength(1_000_000))
}))

/** Numbers of TRL that are taken over. A count of what went before is the last one's, all others are means over the round. */
const taken = /^(loss|grad_norm|learning_rate|entropy|mean_token_accuracy|num_tokens|(rewards|logps|logits)\/[a-z_]{1,40})$/

export interface Trained {
  readonly steps: number
  /** Under TRL's names: means over the round's updates. */
  readonly metrics: Record<string, number>
  /** A loss was no finite number. */
  readonly notFinite: boolean
}

/** Reads `trainer_state.json`; undefined if it is none. */
export const trainedOf = (text: string): Trained | undefined => {
  // Python writes NaN and Infinity, which JSON does not have.
  const read = Schema.decodeOption(TrainerState)(text.replace(/:\s*(?:NaN|-?Infinity)\b/g, ": null"))
  if (read._tag === "None") return undefined
  const { global_step, log_history } = read.value
  const updates = log_history.filter((entry) => "loss" in entry)
  const sums = new Map<string, { sum: number; count: number; last: number }>()
  for (const entry of updates) {
    for (const [name, value] of Object.entries(entry)) {
      if (!taken.test(name) || typeof value !== "number" || !Number.isFinite(value)) continue
      const known = sums.get(name) ?? { sum: 0, count: 0, last: 0 }
      sums.set(name, { sum: known.sum + value, count: known.count + 1, last: value })
    }
  }
  return {
    steps: global_step,
    metrics: Object.fromEntries([...sums].map(([name, { count, last, sum }]) => [name, name === "num_tokens" ? last : sum / count])),
    notFinite: updates.length === 0 || updates.some(({ loss }) => typeof loss !== "number" || !Number.isFinite(loss))
  }
}
