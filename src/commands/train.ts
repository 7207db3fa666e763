/** `vequinox train`: the main job. Settings from defaults, a YAML file and flags; wiring of the layers; progress. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Console, Effect, Layer, Option, Ref } from "effect"
import { Command, Flag } from "effect/cli"
import * as bufferSqlite from "../../layers/buffer/sqlite.ts"
import * as judgmentsSqlite from "../../layers/store/judgments.ts"
import * as ledgerSqlite from "../../layers/store/ledger.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as optimizerOnnx from "../../layers/optimizer/onnx.ts"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import { lockRun } from "../../layers/store/run-lock.ts"
import * as runStateSqlite from "../../layers/store/run-state.ts"
import * as samplerOnnx from "../../layers/sampler/onnx.ts"
import { newestGood } from "../run/checkpoints.ts"
import { mostPairs } from "../lessons/compare.ts"
import { resolveConfig, type SettingName, settings, type TrainConfig } from "../wiring/settings.ts"
import { writeFile } from "../system/files.ts"
import { parameterCount } from "../engine/training/memory.ts"
import { objectiveOf } from "../objectives/objectives.ts"
import * as killedDrawingsSqlite from "../../layers/store/killed-drawings.ts"
import type { PipelineConfig } from "../pipeline.ts"
import { makeProgress, progressStyle } from "../system/progress.ts"
import { embeddedPrompts, readPrompts } from "../prompts.ts"
import { abandonUnbegun, needUnused, openRunFolder } from "../run/folder.ts"
import { Judge } from "../stages/Judge.ts"
import { Policy } from "../stages/Policy.ts"
import { RunState } from "../stages/RunState.ts"
import type { Sampler } from "../stages/Sampler.ts"
import { runTraining } from "../run/training-run.ts"
import { BadInput } from "../system/errors.ts"
import { packageRoot } from "../system/package.ts"
import * as Flags from "../wiring/flags.ts"
import { heldOutScorers } from "../wiring/held-out-scorers.ts"
import { forecast, openJudge } from "../wiring/judges.ts"
import { openPolicy } from "../wiring/policy.ts"
import { writeReport } from "../wiring/report.ts"
import { quantizedCache, tellQuantizing } from "../wiring/quantizing.ts"
import { factsOf, needFacts, needJudge, needRuns, openBegun, resumeCommand, resumedConfig, wasUnderWay } from "../wiring/resume.ts"
import { givenSettings, settingFlags } from "../wiring/setting-flags.ts"
import { startOf } from "../wiring/start.ts"

const embedded = (given: string, name: string): string =>
  given === "embedded" ? path.join(packageRoot, "models", name) : given

const pipelineOf = (c: TrainConfig, firstStep = 0, oldestVersion = firstStep): PipelineConfig => ({
  steps: c.max_steps,
  firstStep,
  oldestVersion,
  seed: c.seed,
  promptsPerStep: c.prompts_per_step,
  promptsPerBatch: c.prompts_per_batch,
  k: c.num_generations,
  maxStaleness: c.max_staleness,
  lessons: objectiveOf({ lossType: c.loss_type }).learnsFrom === "advantages" ? "advantages" : "preferences",
  comparisons: c.pair_comparisons,
  maxPairsPerPrompt: c.max_pairs_per_prompt === 0 ? undefined : c.max_pairs_per_prompt,
  pairs: c.pair_selection,
  ties: c.ties,
  labels: c.labels,
  pairWeighting: c.pair_weighting,
  invalidPairWeight: c.invalid_pair_weight,
  renderConcurrency: 4
})

/** What was asked for where something else, which follows from it, was taken. */
const askedFor = (c: TrainConfig, taken: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(c).filter(([name, value]) => name in taken && JSON.stringify(taken[name]) !== JSON.stringify(value)))

const tell = (line: string) => Effect.sync(() => void process.stderr.write(`${line}\n`))

/** What an experiment puts around a layer of the run, which otherwise stays as it is. */
export interface Around {
  readonly sampler: <E, R>(own: Layer.Layer<Sampler, E, R>) => Layer.Layer<Sampler, E, R>
}

/** The command with other layers around its own. */
export const trainWith = (around: Around) => Command.make("train", {
  ...settingFlags(Object.keys(settings) as Array<SettingName>),
  config: Flag.String("config").pipe(Flag.withDescription("YAML file of settings, TRL's names"), Flag.optional),
  resume: Flag.String("resume").pipe(
    Flag.withDescription("run folder: go on with that run, however it was stopped, to the adapter that it would have had"),
    Flag.optional
  ),
  json: Flags.json
}, Effect.fn(function*({ config, json, resume, ...flags }) {
  const given = givenSettings(flags)
  const file = Option.getOrUndefined(config)
  const style = progressStyle(json)
  const begun = Option.isSome(resume) ? yield* openBegun(resume.value) : undefined
  if (begun !== undefined) yield* lockRun(begun.run)
  const c = begun === undefined ? yield* resolveConfig(file, given) : yield* resumedConfig(begun, file, given)
  const before = begun !== undefined && wasUnderWay(begun) ? begun : undefined
  if (before !== undefined && !fs.existsSync(before.run.file("run.db"))) {
    return yield* new BadInput({ message: `${before.run.path} has no run.db any more, in which its judgments and steps are: it cannot go on.` })
  }
  const prompts = c.prompts === "embedded" ? embeddedPrompts(c.eval_prompts) : yield* readPrompts(c.prompts, c.eval_prompts)
  const { layer: judge, size } = yield* openJudge(c, style)
  const commit = before?.config["model_commit"]
  const { base, checkpoint, folder, tokenizer } = yield* typeof commit === "string"
    ? openPolicy(`${c.model_name_or_path.split("@")[0]}@${commit}`, "", style)
    : openPolicy(embedded(c.model_name_or_path, "policy"), c.model_revision, style)
  const start = yield* startOf(c, checkpoint)
  const facts = factsOf({ base, checkpoint, prompts })
  if (before !== undefined) yield* needFacts(before, { ...facts, ...start.settings })
  if (before !== undefined) yield* needRuns(before, c, start.settings)

  const run = begun?.run ?? (yield* openRunFolder(c.output_dir, c.seed, new Date()))
  if (begun === undefined) {
    yield* lockRun(run)
    yield* needUnused(run.path)
  }
  const taken = { ...start.settings, render_size: size, output_dir: run.path }
  const asked = before?.config["asked"] ?? askedFor(c, taken)
  const working_dir = before?.config["working_dir"] ?? process.cwd()
  const underWay = yield* Ref.make(begun !== undefined)

  yield* Effect.gen(function*() {
    // What is asked for is there before anything else, so that a process that is killed from now on can be resumed.
    if (before === undefined) yield* writeFile(run.file("config.json"), JSON.stringify({ ...c, working_dir }, null, 2) + "\n")
    const state = yield* RunState
    if ((yield* state.finished) === c.max_steps && fs.existsSync(run.file("report.html"))) {
      return yield* tell(`${run.path} is finished: ${c.max_steps} steps. Look: ${run.file("report.html")}`)
    }
    const { found, refused } = yield* newestGood(run, yield* state.checkpoints, start.lora, [...start.parameters.keys()])
    const initial = { version: 0, parameters: start.parameters }
    const from = found?.state ?? { ...initial, updates: 0, moments: new Map() }
    const pipeline = pipelineOf(c, from.version, found?.earlier[0]?.version)

    const stages = Layer.mergeAll(
      // Before the sampler, which takes of the memory what is left.
      optimizerOnnx.layer({
        checkpoint,
        lora: start.lora,
        initial: from,
        reference: start.reference,
        objective: { lossType: c.loss_type, beta: c.beta, labelSmoothing: c.label_smoothing, nu: c.rao_kupper_nu },
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
      around.sampler(samplerOnnx.layer({
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
      })),
      rendererResvg.layer({ size }).pipe(Layer.provide(killedDrawingsSqlite.layer)),
      judge.pipe(Layer.provide(ledgerSqlite.layer)),
      judgmentsSqlite.layer,
      bufferSqlite.layerIn({ maxStaleness: c.max_staleness, staleWeight: c.stale_weight }),
      Policy.layer({ version: from.version, parameters: from.parameters }, c.max_staleness + 1, found?.earlier)
    ).pipe(Layer.provideMerge(OnnxRuntime.layer(
      (before?.config["device_used"] as TrainConfig["device"] | undefined) ?? c.device,
      parameterCount(checkpoint.config),
      { threads: Number(before?.config["threads_used"] ?? c.threads), overlap: c.max_staleness > 0 }
    )))

    yield* Effect.gen(function*() {
      const runtime = yield* OnnxRuntime
      const { identity, name } = yield* Judge
      if (before !== undefined) yield* needJudge(before, identity)
      const progress = yield* makeProgress(style, "step", c.max_steps, from.version)
      if (before !== undefined && before.config["machine"] !== facts.machine) {
        yield* tell(`The run began on another machine (${String(before.config["machine"])}): from here on its last bits may be others than they would have been.`)
      }
      for (const message of refused) {
        yield* tell(`${message}: the run goes on from step ${from.version}${found === undefined ? ", the beginning" : ""}.`)
        yield* state.count("checkpoint/refused")
      }
      if (before !== undefined) yield* state.count("run/resumed")
      const choice = before === undefined ? runtime.choice : before.config["device_choice"]
      const resolved = {
        ...c, ...taken, asked, working_dir, model: folder, model_commit: base.revision, judge_identity: identity,
        device_choice: choice, device_used: runtime.device, threads_used: runtime.threads, ...facts
      }
      yield* writeFile(run.file("config.json"), JSON.stringify(resolved, null, 2) + "\n")
      yield* Ref.set(underWay, true)
      yield* progress.note(
        `${run.path}: ${from.version === 0 ? "" : `from step ${from.version} to `}${c.max_steps} steps, ${c.prompts_per_step} prompts x ${c.num_generations} candidates, judge ${name}, ${choice}.`
      )
      const [drawn, k] = [(c.max_steps - from.version) * c.prompts_per_step, c.num_generations]
      const cost = yield* forecast(c, { prompts: drawn, k, pairs: drawn * mostPairs(pipeline) })
      if (cost !== undefined) yield* progress.note(cost)
      if (cost !== undefined && c.judge_batch) {
        yield* progress.note("Asked in batches, each step may wait up to 24 hours for its judgments.")
      }
      const scorers = yield* heldOutScorers
      yield* Effect.gen(function*() {
        const result = yield* runTraining({
          pipeline,
          prompts,
          run,
          lora: start.lora,
          base: c.model_name_or_path === "embedded" ? { name: "vequinox/models/policy", revision: null } : base,
          initial,
          from: found,
          scorers,
          trustPairs: c.trust_pairs,
          saveSteps: c.save_steps,
          saveTotalLimit: c.save_total_limit,
          progress,
          onStep: (report) => json ? Console.log(JSON.stringify({ step: report.step, ...report.metrics })) : Effect.void
        })
        yield* writeReport(run, result, resolved)
        yield* state.finish(c.max_steps)
        const { summary } = result
        if (json) yield* Console.log(JSON.stringify(summary))
        else yield* Console.log(closing(summary, run.path))
      }).pipe(Effect.onError(() => tell(`Resume: ${resumeCommand(run)}`)))
    }).pipe(Effect.scoped, Effect.provide(stages))
  }).pipe(
    Effect.provide(runStateSqlite.layer.pipe(Layer.provideMerge(RunDatabase.layer({ path: run.file("run.db") })))),
    Effect.onError(() => Effect.flatMap(Ref.get(underWay), (is) => is ? Effect.void : abandonUnbegun(run)))
  )
}, Effect.scoped)).pipe(Command.withDescription("Online DPO: draw, judge, update, again. Settings take TRL's names, with hyphens or underscores"))

export const train = trainWith({ sampler: (own) => own })

const percent = (share: number) => `${(100 * share).toFixed(1)} %`

const closing = ({ pairs, steps, validity, winRate: w }: Effect.Success<ReturnType<typeof runTraining>>["summary"], run: string) =>
  [
    ...(w.n === 0
      ? [`${steps} steps, ${pairs} pairs. No held-out prompts, so no win rate.`]
      : [
        `After ${steps} steps and ${pairs} pairs the policy beats the one that it started from on ${percent(w.value)} of ${w.n} held-out prompts ` +
        `[${percent(w.lower)}, ${percent(w.upper)}] (${w.scorer}).`,
        `Drawings that render: ${percent(validity.before)} before, ${percent(validity.after)} after.`
      ]),
    `Look: ${path.join(run, "report.html")}`
  ].join("\n")
