/** `vequinox train`: the main job. Settings from defaults, a YAML file and flags; wiring of the layers; progress. */
import * as path from "node:path"
import { Console, Effect, Layer, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as bufferSqlite from "../../layers/buffer-sqlite.ts"
import { OnnxRuntime } from "../../layers/onnx-runtime.ts"
import * as optimizerOnnx from "../../layers/optimizer-onnx.ts"
import * as rendererResvg from "../../layers/renderer-resvg.ts"
import * as samplerOnnx from "../../layers/sampler-onnx.ts"
import { mostPairs } from "../comparisons.ts"
import { resolveConfig, type SettingName, settings, type TrainConfig } from "../config.ts"
import { writeFile } from "../files.ts"
import { parameterCount } from "../numerics/memory.ts"
import type { PipelineConfig } from "../pipeline.ts"
import { makeProgress, progressStyle } from "../progress.ts"
import { embeddedPrompts, readPrompts } from "../prompts.ts"
import { abandonUnbegun, openRunFolder } from "../run-folder.ts"
import { Judge } from "../stages/Judge.ts"
import { Policy } from "../stages/Policy.ts"
import { runTraining } from "../training-run.ts"
import * as Flags from "./flags.ts"
import { heldOutScorers } from "./held-out.ts"
import { forecast, openJudge } from "./judges.ts"
import { openPolicy } from "./policy.ts"
import { writeReport } from "./report.ts"
import { quantizedCache, tellQuantizing } from "./quantizing.ts"
import { givenSettings, settingFlags } from "./setting-flags.ts"
import { startOf } from "./start.ts"

const embedded = (given: string, name: string): string =>
  given === "embedded" ? path.join(Flags.packageRoot, "models", name) : given

const pipelineOf = (c: TrainConfig): PipelineConfig => ({
  steps: c.max_steps,
  firstStep: 0,
  seed: c.seed,
  promptsPerStep: c.prompts_per_step,
  promptsPerBatch: c.prompts_per_batch,
  k: c.num_generations,
  maxStaleness: c.max_staleness,
  comparisons: c.pair_comparisons,
  maxPairsPerPrompt: c.max_pairs_per_prompt === 0 ? undefined : c.max_pairs_per_prompt,
  pairs: c.pair_selection,
  ties: c.ties,
  labels: c.labels,
  pairWeighting: c.pair_weighting,
  invalidPairWeight: c.invalid_pair_weight,
  renderConcurrency: 4
})

export const train = Command.make("train", {
  ...settingFlags(Object.keys(settings) as Array<SettingName>),
  config: Flag.String("config").pipe(Flag.withDescription("YAML file of settings, TRL's names"), Flag.optional),
  json: Flags.json
}, Effect.fn(function*({ config: file, json, ...flags }) {
  const c = yield* resolveConfig(Option.getOrUndefined(file), givenSettings(flags))
  const style = progressStyle(json)
  const prompts = c.prompts === "embedded" ? embeddedPrompts(c.eval_prompts) : yield* readPrompts(c.prompts, c.eval_prompts)
  const { layer: judge, size } = yield* openJudge(c, style)
  const { base, checkpoint, folder, tokenizer } = yield* openPolicy(embedded(c.model_name_or_path, "policy"), c.model_revision, style)
  const start = yield* startOf(c, checkpoint)
  const run = yield* openRunFolder(c.output_dir, c.seed, new Date())

  const stages = Layer.mergeAll(
    // Before the sampler, which takes of the memory what is left.
    optimizerOnnx.layer({
      checkpoint,
      lora: start.lora,
      initial: { version: 0, updates: 0, parameters: start.parameters, moments: new Map() },
      reference: start.reference,
      loss: { lossType: c.loss_type, beta: c.beta, labelSmoothing: c.label_smoothing, nu: c.rao_kupper_nu },
      options: {
        learningRate: c.learning_rate,
        schedulerType: c.lr_scheduler_type,
        warmupSteps: c.warmup_steps,
        totalSteps: c.max_steps,
        maxGradNorm: c.max_grad_norm,
        weightDecay: c.weight_decay,
        adamBeta1: c.adam_beta1,
        adamBeta2: c.adam_beta2,
        adamEpsilon: c.adam_epsilon,
        maxLength: c.max_length,
        tokensPerRun: start.settings.tokens_per_run,
        gradientCheckpointing: start.settings.gradient_checkpointing
      }
    }),
    samplerOnnx.layer({
      checkpoint,
      tokenizer,
      format: { systemPrompt: c.system_prompt, promptTemplate: c.prompt_template, prefill: c.prefill },
      lora: start.lora,
      sampling: {
        temperature: c.temperature,
        topK: c.top_k,
        topP: c.top_p,
        minP: c.min_p,
        repetitionPenalty: c.repetition_penalty
      },
      maxNewTokens: c.max_new_tokens,
      maxLength: c.max_length,
      stop: "</svg>",
      stopMalformed: c.stop_malformed,
      maxNumSeqs: Math.min(c.max_num_seqs, c.prompts_per_batch * c.num_generations),
      precision: c.sampler_precision,
      cache: yield* quantizedCache,
      quantizing: (total) => tellQuantizing(style, total)
    }),
    rendererResvg.layer({ size }),
    judge,
    bufferSqlite.layer({ path: run.file("run.db"), maxStaleness: c.max_staleness, staleWeight: c.stale_weight }),
    Policy.layer({ version: 0, parameters: start.parameters }, c.max_staleness + 1)
  ).pipe(Layer.provideMerge(OnnxRuntime.layer(c.device, parameterCount(checkpoint.config), c.threads)))

  yield* Effect.gen(function*() {
    const runtime = yield* OnnxRuntime
    const { identity, name } = yield* Judge
    const versions = { vequinox: Flags.version, node: process.version, onnxruntime: Flags.onnxVersion }
    const resolved = { ...c, ...start.settings, render_size: size, output_dir: run.path, model: folder, model_commit: base.revision, judge_identity: identity, device_choice: runtime.choice, versions }
    yield* writeFile(run.file("config.json"), JSON.stringify(resolved, null, 2) + "\n")
    const progress = yield* makeProgress(style, "step", c.max_steps)
    yield* progress.note(
      `${run.path}: ${c.max_steps} steps, ${c.prompts_per_step} prompts x ${c.num_generations} candidates, judge ${name}, ${runtime.choice}.`
    )
    const [drawn, k] = [c.max_steps * c.prompts_per_step, c.num_generations]
    const cost = yield* forecast(c, { prompts: drawn, k, pairs: drawn * mostPairs(pipelineOf(c)) })
    if (cost !== undefined) yield* progress.note(cost)
    if (cost !== undefined && c.judge_batch) {
      yield* progress.note("Asked in batches, each step may wait up to 24 hours for its judgments.")
    }
    const scorers = yield* heldOutScorers
    const result = yield* runTraining({
      pipeline: pipelineOf(c),
      prompts,
      run,
      lora: start.lora,
      base: c.model_name_or_path === "embedded" ? { name: "vequinox/models/policy", revision: null } : base,
      scorers,
      trustPairs: c.trust_pairs,
      saveSteps: c.save_steps,
      progress,
      onStep: (report) => json ? Console.log(JSON.stringify({ step: report.step, ...report.metrics })) : Effect.void
    })
    yield* writeReport(run, result, resolved)
    const { summary } = result
    if (json) yield* Console.log(JSON.stringify(summary))
    else yield* Console.log(closing(summary, run.path))
  }).pipe(Effect.scoped, Effect.provide(stages), Effect.onError(() => abandonUnbegun(run)))
})).pipe(Command.withDescription("Online DPO: draw, judge, update, again"))

const percent = (share: number) => `${(100 * share).toFixed(1)} %`

const closing = ({ pairs, steps, validity, winRate: w }: Effect.Success<ReturnType<typeof runTraining>>["summary"], run: string) =>
  [
    w.n === 0
      ? "No held-out prompts, so no win rate."
      : `After ${steps} steps and ${pairs} pairs the policy beats the one that it started from on ${percent(w.value)} of ${w.n} held-out prompts ` +
        `[${percent(w.lower)}, ${percent(w.upper)}] (${w.scorer}).`,
    `Drawings that render: ${percent(validity.before)} before, ${percent(validity.after)} after.`,
    `Look: ${path.join(run, "report.html")}`
  ].join("\n")
