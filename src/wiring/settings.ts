/**
 * Settings of a training run: one Schema with TRL's names, filled from defaults, then a YAML file, then flags. The
 * result is written whole into the run folder's config.json.
 */
import { Effect, Schema } from "effect"
import { readText } from "../system/files.ts"
import { schedulerTypes } from "../engine/training/adamw.ts"
import { jobProblem, jobSettings } from "./job-settings.ts"
import { judgesHelp } from "./judges/judges.ts"
import { judgedObjectives, lossNames, type LossType, lossTypeText, notAdded, objectiveOf } from "../objectives/objectives.ts"
import { fDivergences, importanceSamplingModes, type ReadSetting } from "../objectives/objective.ts"
import { samplerPrecisions } from "../engine/weights/quantization.ts"
import { allLinear } from "../engine/nets/transformer.ts"
import { defaultFormat } from "../model/tokenizer/tokenizer.ts"
import { trlNames } from "../system/flag-names.ts"
import { above, int, orElse, real } from "../system/ranges.ts"
import { parseYaml } from "../system/yaml.ts"
import { samplerServerProblem, samplerServerSettings } from "./sampler-server-settings.ts"
import { tinkerProblem, tinkerSettings, usualOnTinker } from "./tinker-settings.ts"

/** A setting is unknown, of the wrong kind or out of range. The message names it and its allowed values. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  message: Schema.String
}) {}

/** Trackers that numbers are told; a table of drawings has a setting of its own. */
export const trackerNames = ["tensorboard", "trackio", "otlp"] as const

/** Each setting: its kind and range, its default, and the sentence that --help shows. */
export const settings = {
  model_name_or_path: [
    orElse(Schema.NonEmptyString, "embedded"),
    "policy: a Hugging Face checkpoint folder, a model of the Hub as owner/name or owner/name@revision, or `embedded`"
  ],
  model_revision: [orElse(Schema.String, ""), "branch, tag or commit of a policy of the Hub; empty takes main"],
  prompts: [orElse(Schema.NonEmptyString, "embedded"), "prompts: a .txt, .csv, .parquet, .json, .jsonl or .ndjson file, or `embedded`"],
  curriculum: [
    orElse(Schema.String, ""),
    "stages of prompts that widen when what is measured is satisfactory: a .yaml or .json file, or `embedded`; it replaces --prompts"
  ],
  judge: [orElse(Schema.NonEmptyString, "clip"), `what decides which drawing is better. ${judgesHelp}`],
  judge_model: [orElse(Schema.String, ""), "for a judge that uses a model's scores, its checkpoint folder, or a model of the Hub as owner/name or owner/name@revision; for other judges, the guide model's name; empty takes the default, if there is one"],
  guide: [orElse(Schema.Literals(["claude", "openai"]), "claude"), "the guide model of list, checklist, defects and cascade: Claude, or the one that --judge-model names at OPENAI_BASE_URL"],
  judge_format: [
    orElse(Schema.Literals(["json_schema", "json_object", "plain"]), "json_schema"),
    "openai: how to ask for the form of an answer; json_object and plain are for servers without structured output"
  ],
  judge_references: [orElse(Schema.String, ""), "dino, pixels, edges: file of JSON lines, {\"prompt\": ..., \"image\": path to a .png or .svg}"],
  judge_terms: [orElse(Schema.String, ""), "blend: YAML file of the judges whose scores are added up"],
  judge_orders: [orElse(Schema.Literals([1, 2]), 2), "claude, openai, list: orders in which drawings are shown; with 2 a disagreement is a tie"],
  checklist_file: [
    orElse(Schema.String, ""),
    "checklist: file of each prompt's requirements, in the form of SVGBench's questions.json or Eval Protocol's .jsonl; the guide model writes those of other prompts"
  ],
  judge_timeout: [orElse(above(0, 1e6), 30), "guide model: longest wait for a whole answer, seconds"],
  judge_batch: [orElse(Schema.Boolean, false), "claude: ask in Message Batches, at half the price; answers take up to 24 hours"],
  judge_cache: [orElse(Schema.String, ""), "guide model, human: file of answers that all runs share; empty takes the user's cache folder"],
  judge_input_price: [orElse(real(0, 1e6), 0), "guide model: price in USD per million input tokens; 0 takes the known price, which is nothing for a server on this machine"],
  judge_output_price: [orElse(real(0, 1e6), 0), "guide model: price in USD per million output tokens; 0 takes the known price"],
  judge_free: [orElse(Schema.Boolean, false), "openai: the server at OPENAI_BASE_URL sends no bill, so it needs no price and no budget; a server on this machine counts as free anyway"],
  human_on: [orElse(Schema.Literals(["page", "terminal"]), "page"), "human: where pairs are shown: on a page for this machine's browser, or on the terminal"],
  human_port: [orElse(int(0, 65535), 0), "human: port of that page; 0 takes one that is free"],
  cascade_confidence: [orElse(real(0, 1), 0.9), "cascade: lowest confidence at which clip's answer stands"],
  budget_usd: [orElse(real(0, 1e9), 5), "guide model: most US dollars to spend; at the rate charged so far, no call is made that could pass it"],
  output_dir: [orElse(Schema.String, ""), "run folder; empty makes a new one under runs/"],
  seed: [orElse(int(0), 0), "key of all randomness"],
  device: [orElse(Schema.Literals(["auto", "cpu", "webgpu", "cuda"]), "auto"), "where sessions run"],
  threads: [orElse(int(0, 1024), 0), "threads of one onnxruntime run; 0 takes all cores, or half of them for a small policy that is sampled while it is trained"],
  max_steps: [orElse(int(1, 1e9), 480), "steps: each draws, judges and trains once"],
  prompts_per_step: [orElse(int(1, 1e6), 8), "prompts drawn for each step"],
  prompts_per_batch: [orElse(int(1, 1e6), 16), "prompts decoded together"],
  num_generations: [orElse(int(2, 4096), 4), "candidates a prompt (K)"],
  max_staleness: [orElse(int(0, 1e6), 1), "most policy versions that a drawing may be behind the step that trains on it; 0 is synchronous"],
  pair_comparisons: [
    orElse(Schema.Literals(["all", "anchor", "swiss"]), "all"),
    "which pairs of the K candidates the judge sees: all; each against one; or a Swiss tournament"
  ],
  max_pairs_per_prompt: [orElse(int(0, 1e9), 0), "most judged pairs of a prompt, drawn at random among all; 0 sets no limit"],
  pair_selection: [orElse(Schema.Literals(["all", "best-worst", "top-bottom"]), "best-worst"), "which judged pairs of the K candidates are trained"],
  ties: [orElse(Schema.Literals(["drop", "train"]), "drop"), "train: a tie is a preference with label 0.5, best with loss_type rao_kupper"],
  labels: [orElse(Schema.Literals(["hard", "soft"]), "hard"), "soft: a label is (1 + the judge's confidence) / 2 instead of 1"],
  pair_weighting: [
    orElse(Schema.Literals(["none", "gap", "diversity", "gap-diversity"]), "none"),
    "weigh pairs by how far apart the two drawings are, and by how different the prompt's drawings are"
  ],
  invalid_pair_weight: [orElse(real(0, 100), 1), "weight of pairs in which one drawing did not render"],
  stale_weight: [orElse(real(0, 1), 1), "a pair's or an advantage's weight is multiplied by this to the power of its age in versions"],
  temperature: [orElse(real(0, 100), 1), "sampling temperature; 1 draws from the policy itself, as the losses assume (at 0.7 the embedded policy learned nothing), 0 is greedy"],
  top_k: [orElse(int(0, 1e9), 0), "keep the k likeliest tokens; 0 keeps all"],
  top_p: [orElse(real(0, 1), 1), "keep the likeliest tokens that reach this probability"],
  min_p: [orElse(real(0, 1), 0.05), "drop tokens under this share of the likeliest one; 0 keeps all"],
  repetition_penalty: [orElse(above(0, 100), 1), "over 1 makes repeated tokens less likely"],
  max_new_tokens: [orElse(int(1, 1e6), 160), "longest drawing, tokens"],
  max_length: [orElse(int(2, 1e6), 256), "longest prompt and drawing together, tokens"],
  max_num_seqs: [orElse(int(1, 1e6), 128), "most candidates decoded together; fewer if memory is short"],
  draft_tokens: [orElse(int(0, 64), 0), "most tokens that are guessed from the run's earlier drawings and read in one run of the model; those that would have been drawn are kept, so drawings stay the same; 0 guesses none"],
  sampler_precision: [
    orElse(Schema.Literals(["auto", ...samplerPrecisions]), "auto"),
    "precision of the weights that draw candidates; auto takes 8 bits for large models under a LoRA on the CPU, else float32"
  ],
  sampler: [
    orElse(Schema.Literals(["onnx", "openai", "tinker"]), "onnx"),
    "what draws: onnx, in this process; openai, the servers of sampler_url (docs/sampling-servers.md); or the Tinker server that trains"
  ],
  ...samplerServerSettings,
  stop_malformed: [orElse(Schema.Boolean, false), "stop a drawing as soon as it can no longer become well-formed XML; drawings then do not follow the policy's distribution exactly"],
  system_prompt: [orElse(Schema.String, defaultFormat.systemPrompt), "system message; none when empty"],
  prompt_template: [orElse(Schema.String, defaultFormat.promptTemplate), "user message; {prompt} stands for the prompt"],
  prefill: [orElse(Schema.String, defaultFormat.prefill), "how the answer begins; never trained"],
  optimizer: [
    orElse(Schema.Literals(["onnx", "tinker", "job"]), "onnx"),
    "what trains: onnx, in this process; a Tinker server (docs/tinker.md), which then decides lora_alpha and lora_target_modules; or rounds of offline DPO by trl dpo on a cluster (docs/jobs.md)"
  ],
  ...tinkerSettings,
  ...jobSettings,
  loss_type: [
    orElse(Schema.Union([Schema.Literals(judgedObjectives), Schema.Array(Schema.Literals(judgedObjectives)).check(Schema.isMinLength(1))]), "sigmoid"),
    "objective: a loss of pairs, of the preferred drawings alone (sft), or of candidates with advantages (reinforce, grpo and its kin); losses of pairs and sft may be added up: sigmoid,bco_pair,sft"
  ],
  loss_weights: [orElse(Schema.Array(above(0, 1e6)), []), "several losses: what each of loss_type is multiplied with, for example 0.8,0.2,1; without it, 1 each"],
  beta: [
    orElse(real(0, 1e6), 0.1),
    "losses of pairs: temperature of the implicit reward, over 0; grpo and its kin: weight of the divergence from the reference, 0 unless it is given. Larger stays nearer to the reference"
  ],
  reward: [
    orElse(Schema.Literals(["win_rate", "score"]), "win_rate"),
    "advantages: what a drawing's reward is, the share of its comparisons that it won, or the judge's own score"
  ],
  length_weight: [orElse(real(0, 1e6), 0), "advantages: the most that a drawing gets on top of its reward for being short, in the reward's unit; 0 gives nothing"],
  length_limit: [orElse(int(1, 1e9), 6000), "advantages: characters from which a drawing gets nothing for being short"],
  scale_rewards: [
    orElse(Schema.Literals(["group", "batch", "none"]), "group"),
    "advantages: divide a reward's distance from its prompt's mean by the deviation of the prompt's rewards, by that of the step's, or by nothing"
  ],
  mask_truncated_completions: [orElse(Schema.Boolean, false), "advantages: do not train drawings that ran into the limit on tokens"],
  steps_per_generation: [
    orElse(int(1, 1e6), 1),
    "updates that a step's lessons are divided among: drawing many at once is quicker than drawing for each update"
  ],
  num_iterations: [orElse(int(1, 1000), 1), "updates on each step's lessons"],
  epsilon: [orElse(real(0, 1), 0.2), "grpo and its kin: how far under 1 a ratio to the policy before the step counts"],
  epsilon_high: [orElse(real(0, 1e3), 0), "grpo and its kin: how far over 1 it counts (cispo: the largest ratio itself, for example 5); 0 takes epsilon"],
  delta: [orElse(real(0, 1e3), 0), "grpo and its kin: the largest ratio by which a drawing is pushed down; 0 sets no bound"],
  importance_sampling_level: [orElse(Schema.Literals(["token", "sequence"]), "token"), "grpo and its kin: ratios of tokens, or of whole drawings (GSPO)"],
  importance_sampling_mode: [
    orElse(Schema.Literals(importanceSamplingModes), "token_truncate"),
    "grpo and its kin: what corrects drawings of an older version or of a sampler in fewer bits: ratios of tokens or of drawings, cut off at importance_sampling_clip_max or left out above it"
  ],
  importance_sampling_clip_max: [orElse(above(0, 1e6), 3), "grpo and its kin: the largest ratio of importance_sampling_mode"],
  sapo_temperature_pos: [orElse(above(0, 1e3), 1), "sapo: how sharply a ratio is cut off where a drawing is better than its prompt's mean"],
  sapo_temperature_neg: [orElse(above(0, 1e3), 1.05), "sapo: the same where it is worse"],
  rao_kupper_nu: [orElse(real(1.0001, 1e6), 3), "rao_kupper: how much stronger a drawing must be to win rather than tie"],
  rpo_alpha: [orElse(real(0, 1e6), 4), "weight of the chosen drawings' negative log-likelihood, a mean over their tokens, beside a loss of pairs; 0 adds none"],
  rejected_floor: [orElse(real(0, 1e3), 0), "push a rejected drawing down no further once its log-probability a token is this far under the reference's, nats; 0 sets no floor"],
  ld_alpha: [orElse(real(0, 1), 1), "losses of pairs: what tokens count by which the longer drawing of a pair exceeds the shorter (LD-DPO); 1 is plain"],
  use_weighting: [orElse(Schema.Boolean, false), "losses of pairs: weigh each pair by how likely the policy is to draw both of its drawings (WPO)"],
  sync_ref_model: [orElse(Schema.Boolean, false), "move the reference towards the policy while training (TR-DPO); if not, it stays what it was"],
  ref_model_mixup_alpha: [
    orElse(above(0, 1), 0.6),
    "sync_ref_model: share of the policy in the new reference, the rest is the old one; a LoRA needs 1, which copies the policy"
  ],
  ref_model_sync_steps: [orElse(int(1, 1e9), 512), "sync_ref_model: updates between two moves"],
  label_smoothing: [orElse(real(0, 0.4999), 0), "chance that a label is wrong (sigmoid, robust, aot, aot_unpaired, exo_pair, which needs one over 0)"],
  f_divergence_type: [orElse(Schema.Literals(fDivergences), "reverse_kl"), "losses of a margin: what holds the policy near the reference (f-DPO)"],
  f_alpha_divergence_coef: [orElse(real(0, 100), 0.5), "alpha of alpha_divergence; 1 is reverse_kl"],
  discopop_tau: [orElse(above(0, 1e3), 0.05), "discopop: how sharply it changes from one loss to the other"],
  learning_rate: [orElse(above(0, 1e3), 1e-3), "AdamW's step size"],
  lr_scheduler_type: [orElse(Schema.Literals(schedulerTypes), "cosine"), "learning-rate schedule"],
  warmup_steps: [orElse(int(0, 1e9), 10), "steps of linear warm-up"],
  weight_decay: [orElse(real(0, 10), 0), "decoupled weight decay"],
  max_grad_norm: [orElse(real(0, 1e9), 1), "gradient norm is clipped to this; 0 clips nothing"],
  adam_beta1: [orElse(real(0, 0.999999), 0.9), "AdamW's decay of the first moment"],
  adam_beta2: [orElse(real(0, 0.999999), 0.999), "AdamW's decay of the second moment"],
  adam_epsilon: [orElse(above(0, 1), 1e-8), "AdamW's term against division by zero"],
  tokens_per_run: [orElse(int(1, 1e9), 1024), "most padded tokens in one forward and backward run; larger batches are accumulated"],
  adapter: [
    orElse(Schema.String, ""),
    "PEFT LoRA adapter folder to start from; it is also the reference, and its rank, alpha and modules replace those below"
  ],
  gradient_checkpointing: [orElse(Schema.Boolean, false), "compute each layer again in the backward pass instead of keeping it: less memory, a quarter more time"],
  memory_gb: [
    orElse(real(0, 1e6), 0),
    "memory for the trainer in GB; to fit, it shortens its runs and then checkpoints gradients; 0 takes what is free"
  ],
  lora_r: [orElse(int(0, 65536), 16), "LoRA rank; 0 trains every parameter"],
  lora_alpha: [orElse(above(0, 1e6), 32), "LoRA scale times rank"],
  lora_target_modules: [
    orElse(Schema.Array(Schema.NonEmptyString).check(Schema.isMinLength(1)), allLinear),
    "matrices that get an adapter"
  ],
  tie_margin: [orElse(real(0, 100), 1), "clip, siglip, dino, pixels, edges: scores closer than this are a tie (in logits); pickscore has none"],
  tie_margin_quantile: [orElse(real(0, 0.999), 0), "judges with scores: this share of a step's scored pairs, those with the smallest gaps, are ties too; 0 adds none"],
  render_size: [
    orElse(int(0, 1024), 0),
    "pixels of a rendered drawing's side, as the judge sees it; 0 takes the judge's best size: what its checkpoint reads (112 for the embedded clip), 448 for claude"
  ],
  eval_prompts: [orElse(int(0, 1e6), 320), "held-out prompts on which the trained policy is compared with the one it started from; 0 compares nothing"],
  eval_temperatures: [
    orElse(Schema.Array(real(0, 100)).check(Schema.isMinLength(1)), [0, 0.3, 0.5, 0.7, 1]),
    "sampling temperatures at which both policies are compared; 0 and 1 always are"
  ],
  eval_best_of: [
    orElse(int(0, 4096), 8),
    "the trained policy is also compared with the best of up to so many drawings of the one it started from, by the run's judge if it asks for neither money nor time; 0 leaves that out"
  ],
  trust_pairs: [orElse(int(0, 1e6), 6), "pairs a step on which the judge is compared with scorers that train nothing; 0 compares none"],
  on_divergence: [
    orElse(Schema.Literals(["step-back", "stop", "tell"]), "step-back"),
    "a run whose loss or drawings run away: go back to its last good state with a quarter of the learning rate, three times at most, then stop; stop at once; or only say so"
  ],
  save_steps: [orElse(int(1, 1e9), 60), "steps between checkpoints"],
  save_total_limit: [orElse(int(0, 1e9), 0), "how many of the newest checkpoints are kept, at least two; 0 keeps all"],
  storage_path: [
    orElse(Schema.String, ""),
    "object store that each checkpoint and the finished run are copied to, as s3://bucket/prefix; empty copies nothing (docs/storage.md)"
  ],
  store: [
    orElse(Schema.Literals(["sqlite", "postgres"]), "sqlite"),
    "where what is drawn, judged, paid and learned is kept: run.db in the run folder, or among other runs in the Postgres database that DATABASE_URL names (docs/postgres.md)"
  ],
  report_to: [
    orElse(Schema.Union([Schema.Literals(["none", ...trackerNames]), Schema.Array(Schema.Literals(trackerNames))]), "none"),
    "where the numbers are told besides the run folder: tensorboard, trackio, otlp, or several: tensorboard,otlp (docs/trackers.md)"
  ],
  log_completions: [orElse(Schema.Boolean, false), "write each step's drawings as a table, completions/completions_N.parquet, in TRL's columns"],
  trackio_url: [orElse(Schema.String, ""), "trackio: address of its server; empty takes TRACKIO_SERVER_URL. The token belongs in TRACKIO_WRITE_TOKEN"],
  project: [orElse(Schema.NonEmptyString, "vequinox"), "trackio: the project that the run belongs to"],
  run_name: [orElse(Schema.String, ""), "trackio, otlp: the run's name; empty takes the folder's"]
} as const

type Settings = typeof settings
export type SettingName = keyof Settings

export const TrainConfig = Schema.Struct(
  Object.fromEntries(Object.entries(settings).map(([name, [schema]]) => [name, schema])) as unknown as {
    readonly [Name in SettingName]: Settings[Name][0]
  }
)
export type TrainConfig = typeof TrainConfig.Type

/** Settings by the short names of their flags. */
const flagNames: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(trlNames).map(([own, trl]) => [trl.replaceAll("-", "_"), own])
)

/** `max_staleness` is given as `--max-staleness`. */
export const flagOf = (name: SettingName): string => flagNames[name] ?? name.replaceAll("_", "-")

/** An objective's settings by their names here. */
export const objectiveSettings: Readonly<Record<ReadSetting, SettingName>> = {
  beta: "beta",
  labelSmoothing: "label_smoothing",
  nu: "rao_kupper_nu",
  rpoAlpha: "rpo_alpha",
  rejectedFloor: "rejected_floor",
  ldAlpha: "ld_alpha",
  useWeighting: "use_weighting",
  fDivergenceType: "f_divergence_type",
  fAlphaDivergenceCoef: "f_alpha_divergence_coef",
  discopopTau: "discopop_tau",
  epsilon: "epsilon",
  epsilonHigh: "epsilon_high",
  delta: "delta",
  importanceSamplingLevel: "importance_sampling_level",
  importanceSamplingMode: "importance_sampling_mode",
  importanceSamplingClipMax: "importance_sampling_clip_max",
  sapoTemperaturePos: "sapo_temperature_pos",
  sapoTemperatureNeg: "sapo_temperature_neg"
}

/** How pairs are used: these settings mean nothing if no pair is trained. */
const settingsOfPairs: ReadonlyArray<SettingName> = ["pair_selection", "ties", "labels", "pair_weighting", "invalid_pair_weight"]

/** How advantages are made. */
const settingsOfAdvantages: ReadonlyArray<SettingName> = ["reward", "length_weight", "length_limit", "scale_rewards", "mask_truncated_completions"]

/** How the reference moves. */
const settingsOfReference: ReadonlyArray<SettingName> = ["sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"]

/** Settings that an objective ignores. */
const unreadBy = (lossType: LossType): ReadonlyArray<SettingName> => {
  const { learnsFrom, reads, reference } = objectiveOf({ lossType })
  return [
    ...reference({ beta: 1 }) ? [] : settingsOfReference,
    ...(Object.keys(objectiveSettings) as Array<ReadSetting>).flatMap((own) => reads.includes(own) ? [] : [objectiveSettings[own]]),
    ...learnsFrom === "preferences" ? settingsOfAdvantages : settingsOfPairs
  ]
}

/**
 * Defaults, overruled by the YAML file, overruled by the flags.
 *
 * Fails if a given setting is one that the objective ignores: the person who gives it expects it to do something.
 *
 * @param given values of the flags that were set, as text or as the flag parsed them
 * @param stored settings that replace the defaults: those of a resumed run
 */
export const resolveConfig = Effect.fn("resolveConfig")(function*(
  file: string | undefined,
  given: Readonly<Partial<Record<SettingName, unknown>>>,
  stored: Readonly<Partial<Record<SettingName, unknown>>> = {}
) {
  const fromFile = file === undefined ? {} : yield* readYaml(file)
  for (const name of Object.keys(fromFile)) {
    if (!(name in settings)) {
      return yield* new ConfigInvalid({ message: `${file}: there is no setting "${name}"${suggestion(name)}.` })
    }
  }
  const merged: Readonly<Record<string, unknown>> = { ...fromFile, ...given }
  for (const [name, [schema]] of Object.entries(settings) as ReadonlyArray<[SettingName, Settings[SettingName]]>) {
    if (!(name in merged)) continue
    yield* Schema.decodeUnknownEffect(schema as Schema.Codec<unknown, unknown>)(merged[name]).pipe(Effect.mapError((error) =>
      new ConfigInvalid({
        message: `${name in given ? `--${flagOf(name)}` : `${file}: ${name}`} is ${shown(merged[name])}: ${
          oneLine(error.message)
        }.`
      })
    ))
  }
  const decoded = yield* Schema.decodeUnknownEffect(TrainConfig)({ ...stored, ...merged }).pipe(
    Effect.mapError((error) => new ConfigInvalid({ message: oneLine(error.message) }))
  )
  const names = lossNames(decoded.loss_type)
  const usual = Object.fromEntries(Object.entries(usualOnTinker(decoded)).filter(([name]) => !(name in merged || name in stored)))
  // A list of one is that one.
  const config = { ...decoded, ...usual, ...(names.length === 1 ? { loss_type: names[0]! } : {}) } as TrainConfig
  const unmixed = names.length > 1 ? notAdded(names) : undefined
  if (unmixed !== undefined) return yield* new ConfigInvalid({ message: unmixed })
  const unread = unreadBy(config.loss_type).find((name) => name in merged)
  if (unread !== undefined) {
    const readers = judgedObjectives.filter((lossType) => !unreadBy(lossType).includes(unread))
    return yield* new ConfigInvalid({
      message: `${unread in given ? `--${flagOf(unread)}` : `${file}: ${unread}`} means nothing with loss_type ${lossTypeText(config.loss_type)}: ` +
        `leave it out, or choose a loss_type that reads it (${readers.join(", ")}).`
    })
  }
  const problem = notTogether(config, merged)
  if (problem !== undefined) return yield* new ConfigInvalid({ message: problem })
  const { learnsFrom, reads, reference } = objectiveOf({ lossType: config.loss_type })
  if (learnsFrom === "advantages") {
    const held = !reads.includes("beta") || "beta" in merged || "beta" in stored ? config : { ...config, beta: 0 }
    if (!held.sync_ref_model || reference(held)) return held
    return yield* new ConfigInvalid({ message: `sync_ref_model moves a reference that ${lossTypeText(config.loss_type)} reads with --beta over 0 only: give one, or leave it out.` })
  }
  if (names.includes("exo_pair") && config.label_smoothing === 0) {
    return yield* new ConfigInvalid({ message: "loss_type exo_pair compares the policy with a label that may be wrong: give --label-smoothing over 0, for example 0.001." })
  }
  if (config.beta === 0) {
    return yield* new ConfigInvalid({ message: `${"beta" in given ? "--beta" : `${file}: beta`} is 0: ${lossTypeText(config.loss_type)} compares log-ratios times beta, so give a number over 0.` })
  }
  return config
})

/** Why these settings cannot hold together, a sentence, or undefined. */
const notTogether = (c: TrainConfig, given: Readonly<Record<string, unknown>>): string | undefined => {
  if (c.store === "postgres" && c.storage_path !== "") return "storage_path copies a run's run.db, and store postgres keeps the run in a database, which has copies of its own: leave one of the two out."
  const elsewhere = samplerServerProblem(c, given) ?? tinkerProblem(c, given) ?? jobProblem(c, given)
  if (elsewhere !== undefined) return elsewhere
  if (c.draft_tokens > 0 && c.sampler !== "onnx") return `draft_tokens is about drawing in this process, and sampler ${c.sampler} draws on servers: leave it out, or give --sampler onnx.`
  const names = lossNames(c.loss_type)
  if (names.length === 1 && c.loss_weights.length > 0) {
    return `loss_weights weighs the losses of a list, and loss_type names ${names[0]!} alone: leave it out, or name several.`
  }
  if (c.loss_weights.length > 0 && c.loss_weights.length !== names.length) {
    return `loss_weights has ${counted(c.loss_weights.length, "weight")} for ${counted(names.length, "loss", "losses")} of loss_type: give one for each.`
  }
  if (!c.sync_ref_model) {
    const idle = settingsOfReference.slice(1).find((name) => name in given)
    return idle === undefined ? undefined : `${idle} says how the reference moves, and it does not: give --sync-ref-model, or leave it out.`
  }
  if (c.ref_model_mixup_alpha < 1 && (c.lora_r > 0 || c.adapter !== "")) {
    return `ref_model_mixup_alpha is ${c.ref_model_mixup_alpha}, and a mixture of two adapters is no adapter of their rank: give 1, which copies the policy's, or train every parameter with --lora-r 0.`
  }
  return undefined
}

const counted = (n: number, one: string, several = `${one}s`): string => `${n} ${n === 1 ? one : several}`

const readYaml = Effect.fnUntraced(function*(file: string) {
  const text = yield* readText(file)
  const value = yield* parseYaml(text, (message) => new ConfigInvalid({ message: `${file} is not YAML: ${oneLine(message)}.` }))
  return yield* Schema.decodeUnknownEffect(Schema.Record(Schema.String, Schema.Unknown))(value ?? {}).pipe(
    Effect.mapError(() => new ConfigInvalid({ message: `${file} must hold settings, one "name: value" a line.` }))
  )
})

/** As YAML writes it: JSON has no infinity. */
const shown = (value: unknown): string => typeof value === "number" ? String(value) : JSON.stringify(value)

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim().replace(/\.$/, "")

const suggestion = (name: string): string => {
  const plain = name.replaceAll(/[-_]/g, "").toLowerCase()
  const near = (Object.keys(settings) as Array<SettingName>).find((known) =>
    known.replaceAll("_", "") === plain || flagOf(known).replaceAll("-", "") === plain
  )
  return near === undefined ? "" : `; did you mean "${near}"?`
}
