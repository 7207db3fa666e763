/** `vequinox train`: the main job. Settings from defaults, a YAML file and flags; wiring of the layers; progress. */
import * as path from "node:path"
import { Console, Effect, Layer, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as bufferSqlite from "../../layers/buffer-sqlite.ts"
import { OnnxRuntime } from "../../layers/onnx-runtime.ts"
import * as optimizerOnnx from "../../layers/optimizer-onnx.ts"
import * as rendererResvg from "../../layers/renderer-resvg.ts"
import * as samplerOnnx from "../../layers/sampler-onnx.ts"
import { openDecoder, readParameters } from "../checkpoint.ts"
import { mostPairs } from "../comparisons.ts"
import { resolveConfig, type SettingName, settings, type TrainConfig } from "../config.ts"
import { writeFile } from "../files.ts"
import { parameterCount, samplerBytes } from "../numerics/memory.ts"
import { initialAdapter, type LoraConfig } from "../numerics/parameters.ts"
import { modulesOf } from "../numerics/transformer.ts"
import type { PipelineConfig } from "../pipeline.ts"
import { makeProgress, progressStyle } from "../progress.ts"
import { embeddedPrompts, readPrompts } from "../prompts.ts"
import { openRunFolder } from "../run-folder.ts"
import { Judge } from "../stages/Judge.ts"
import { Policy } from "../stages/Policy.ts"
import { openTokenizer } from "../tokenizer/tokenizer.ts"
import { runTraining } from "../training-run.ts"
import * as Flags from "./flags.ts"
import { heldOutScorers } from "./held-out.ts"
import { forecast, judgeLayer, renderSize } from "./judges.ts"
import { writeReport } from "./report.ts"
import { givenSettings, settingFlags } from "./setting-flags.ts"
import { fittingRuns } from "./trainer-memory.ts"

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
  const model = embedded(c.model_name_or_path, "policy")
  const checkpoint = yield* openDecoder(model)
  const tokenizer = yield* openTokenizer(model)
  const prompts = c.prompts === "embedded" ? embeddedPrompts(c.eval_prompts) : yield* readPrompts(c.prompts, c.eval_prompts)
  const judge = yield* judgeLayer(c)
  const size = yield* renderSize(c)
  const run = yield* openRunFolder(c.output_dir, c.seed, new Date())

  const lora: LoraConfig | undefined = c.lora_r > 0
    ? { r: c.lora_r, alpha: c.lora_alpha, targets: c.lora_target_modules }
    : undefined
  const parameters = lora === undefined
    ? readParameters(checkpoint)
    : initialAdapter(modulesOf(checkpoint.config), lora, c.seed)
  const besides = samplerBytes(checkpoint.config, c.prompts_per_batch * c.num_generations, c.max_length)
  const runs = yield* fittingRuns(c, checkpoint.config, lora, besides)
  const stages = Layer.mergeAll(
    samplerOnnx.layer({
      checkpoint,
      tokenizer,
      format: { systemPrompt: c.system_prompt, promptTemplate: c.prompt_template, prefill: c.prefill },
      lora,
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
      rows: c.prompts_per_batch * c.num_generations
    }),
    optimizerOnnx.layer({
      checkpoint,
      lora,
      initial: { version: 0, updates: 0, parameters, moments: new Map() },
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
        tokensPerRun: runs.tokens_per_run,
        gradientCheckpointing: runs.gradient_checkpointing
      }
    }),
    rendererResvg.layer({ size }),
    judge,
    bufferSqlite.layer({ path: run.file("run.db"), maxStaleness: c.max_staleness, staleWeight: c.stale_weight }),
    Policy.layer({ version: 0, parameters }, c.max_staleness + 1)
  ).pipe(Layer.provideMerge(OnnxRuntime.layer(c.device, parameterCount(checkpoint.config), c.threads)))

  yield* Effect.gen(function*() {
    const runtime = yield* OnnxRuntime
    const { identity, name } = yield* Judge
    const versions = { vequinox: Flags.version, node: process.version, onnxruntime: Flags.onnxVersion }
    const resolved = { ...c, ...runs, render_size: size, output_dir: run.path, model, judge_identity: identity, device_choice: runtime.choice, versions }
    yield* writeFile(run.file("config.json"), JSON.stringify(resolved, null, 2) + "\n")
    const style = progressStyle(json)
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
      lora,
      base: c.model_name_or_path === "embedded" ? "vequinox/models/policy" : c.model_name_or_path,
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
  }).pipe(Effect.scoped, Effect.provide(stages))
})).pipe(Command.withDescription("Online DPO: draw, judge, update, again"))

const percent = (share: number) => `${(100 * share).toFixed(1)} %`

const closing = ({ pairs, steps, validity, winRate: w }: Effect.Success<ReturnType<typeof runTraining>>["summary"], run: string) =>
  [
    w.n === 0
      ? "No held-out prompts, so no win rate."
      : `After ${steps} steps and ${pairs} pairs the policy beats its base on ${percent(w.value)} of ${w.n} held-out prompts ` +
        `[${percent(w.lower)}, ${percent(w.upper)}] (${w.scorer}).`,
    `Drawings that render: ${percent(validity.before)} before, ${percent(validity.after)} after.`,
    `Look: ${path.join(run, "report.html")}`
  ].join("\n")
