/**
 * Opens a run: the one path behind `vequinox train` and `run` in code. The process may be killed at any instant of it,
 * so the order counts: lock, config.json, the store, stages, then config.json again with everything found out meanwhile.
 */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Context, Effect, Layer, Ref, Stream } from "effect"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import { lockRun } from "../../../layers/store/run-lock.ts"
import { isSmall, parameterCount } from "../../engine/training/memory.ts"
import { mostPairs } from "../../lessons/compare.ts"
import { likelihoodIn } from "../../objectives/objectives.ts"
import { newestGood } from "../../run/checkpoints.ts"
import { abandonUnbegun, needUnused, openRunFolder, type RunFolder, savedFile } from "../../run/folder.ts"
import { readSummary } from "../../run/summary.ts"
import { runTraining } from "../../run/training-run.ts"
import { Judge } from "../../stages/Judge.ts"
import { RunState } from "../../stages/RunState.ts"
import type { StorageFailed } from "../../stages/ObjectStore.ts"
import { Storage } from "../../stages/Storage.ts"
import type { PipelineConfig } from "../../steps/config.ts"
import type { StepOutcome } from "../../steps/metrics.ts"
import { BadInput } from "../../system/errors.ts"
import { writeFile } from "../../system/files.ts"
import { makeProgress, type Progress } from "../../system/progress.ts"
import { heldOutScorers } from "./held-out-scorers.ts"
import { forecast } from "../judges/open-judge.ts"
import { replaces } from "./own-layers.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import { pipelineOf } from "./pipeline-settings.ts"
import { type Begun, needJudge, resumeCommand } from "./resume.ts"
import { outcomesOf } from "./run-outcomes.ts"
import { openParts, ownNames, type RunRequest, settingsOf } from "./run-parts.ts"
import { writeReport } from "./run-report.ts"
import type { TrainConfig } from "../settings.ts"
import { isTracked, openTrackers } from "../trackers.ts"
import { broughtHere, openStorage } from "../storage.ts"
import { stagesOf } from "./stages.ts"
import { findStore } from "./store.ts"
import { onServer } from "./tinker.ts"

/** Tells a person what must not be missed, even where little else is shown. */
export type Say = (line: string) => Effect.Effect<void>

export const writeConfig = (run: RunFolder, config: object) => writeFile(run.file("config.json"), JSON.stringify(config, null, 2) + "\n")

/** A new folder, or the one asked for if it holds no run. It belongs to this process until the scope ends. */
export const newFolder = Effect.fnUntraced(function*(c: TrainConfig) {
  const run = yield* openRunFolder(c.output_dir, c.seed, new Date())
  yield* lockRun(run)
  yield* needUnused(run.path)
  return run
})

/** The settings as they were asked for, where a value that follows from them was used instead. */
const askedFor = (c: TrainConfig, taken: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(c).filter(([name, value]) => name in taken && JSON.stringify(taken[name]) !== JSON.stringify(value)))

/** A resumed run stays on the device that it began on. */
export const runtimeOf = (c: TrainConfig, parameters: number, before: Begun | undefined) =>
  OnnxRuntime.layer((before?.config["device_used"] as TrainConfig["device"] | undefined) ?? c.device, parameters, {
    threads: Number(before?.config["threads_used"] ?? c.threads),
    overlap: c.max_staleness > 0
  })

/** The arithmetic of another machine may differ in its last bits. */
const tellMachine = ({ config }: Begun, machine: string, say: Say) =>
  config["machine"] === machine
    ? Effect.void
    : say(`The run began on another machine (${String(config["machine"])}): from here on its numbers may differ in their last bits.`)

/** What the judge may cost at most, before anything is spent. */
const noteCost = Effect.fnUntraced(function*(c: TrainConfig, pipeline: PipelineConfig, { note }: Progress) {
  const drawn = (c.max_steps - pipeline.firstStep) * c.prompts_per_step
  const cost = yield* forecast(c, { prompts: drawn, k: c.num_generations, pairs: drawn * mostPairs(pipeline) })
  if (cost === undefined) return
  yield* note(cost)
  if (c.judge_batch) yield* note("Asked in batches, each step may wait up to 24 hours for its judgments.")
})

/** The run was finished before; its results are in its folder. */
const finishedRun = (run: RunFolder) => ({
  folder: run.path,
  finished: true,
  outcomes: Stream.empty,
  summary: readSummary(run.file("summary.json"))
})

/** Copies what the store of a finished run does not have. */
const sendRest = Effect.fnUntraced(function*(run: RunFolder, config: object, storage: Layer.Layer<never, StorageFailed>) {
  yield* writeConfig(run, config)
  yield* Effect.provide(Effect.flatMap(Storage, ({ finished }) => finished), storage)
})

/** What config.json holds in place of settings that code has overruled. */
const overruled = (own: ReadonlyArray<string>, { layers }: RunRequest, judge: string) => ({
  ...(replaces(layers.judge) ? { judge } : {}),
  ...(own.includes("prompts") ? { prompts: "given in code" } : {})
})

/**
 * Holds the run's folder and stages until the scope ends. If a new run fails before it is under way, nothing of it is
 * left; a run that is under way continues with `resume`.
 */
export const openRun = Effect.fn("openRun")(function*(asked: RunRequest, say: Say) {
  const request = yield* broughtHere(asked)
  const { before, begun, settings: c } = yield* settingsOf(request)
  if (request.watched === true && c.store !== "sqlite") {
    return yield* new BadInput({ message: `--studio reads run.db, which a run in Postgres gets when it ends: leave one of --studio and --store ${c.store} out.` })
  }
  const trackers = yield* openTrackers(c)
  const known = begun?.config["run_id"] ?? begun?.config["tracking_id"] // as it was once called
  const runId = String(known ?? randomUUID())
  const isNamed = isTracked(c) || c.storage_path !== "" || c.optimizer === "job" || c.store !== "sqlite" || known !== undefined
  const storage = yield* openStorage(c, known)
  const openStore = yield* findStore(c.store)
  const { curriculum, facts, judge, policy, prompts, trained } = yield* openParts(c, before, request)
  const run = begun?.run ?? (yield* newFolder(c))
  const underWay = yield* Ref.make(begun !== undefined)
  yield* Effect.addFinalizer(() => Effect.flatMap(Ref.get(underWay), (is) => is ? Effect.void : abandonUnbegun(run)))

  // The settings are written before anything else, so that a process killed from now on can be resumed.
  const own = ownNames(request)
  const origin = {
    ...(own.length === 0 ? {} : { own }),
    ...(isNamed ? { run_id: runId } : {}),
    working_dir: before?.config["working_dir"] ?? process.cwd()
  }
  if (before === undefined) yield* writeConfig(run, { ...c, ...origin })
  const store = yield* openStore(run, runId, before !== undefined)
  yield* Effect.addFinalizer(() => Effect.flatMap(Ref.get(underWay), (is) => is ? Effect.void : store.forget))
  const state = yield* Effect.provide(RunState, store.services)
  if ((yield* state.finished) === c.max_steps && fs.existsSync(run.file("report.html"))) {
    yield* say(`${run.path} is finished: ${(yield* state.reports).length} steps. Look: ${run.file("report.html")}`)
    if (c.storage_path !== "") yield* sendRest(run, { ...begun?.config, ...origin, storage_path: c.storage_path }, storage({ run, id: runId, style: request.style, note: say }))
    return finishedRun(run)
  }

  const { found, refused } = yield* newestGood(run, yield* state.checkpoints, trained.lora, [...trained.parameters.keys()])
  const initial = { version: 0, parameters: trained.parameters }
  const from = found?.state ?? { ...initial, updates: 0, moments: new Map() }
  const pipeline = pipelineOf(c, from.version, found?.earlier[0]?.version)
  const taken = { ...trained.settings, render_size: judge.size, output_dir: run.path }
  const settings = { ...c, ...taken }
  const stages = yield* stagesOf({
    run,
    id: runId,
    base: policy.base,
    checkpoint: policy.checkpoint,
    tokenizer: policy.tokenizer,
    settings,
    lora: trained.lora,
    state: from,
    reference: trained.reference,
    earlier: found?.earlier,
    judge: judge.layer,
    server: yield* onServer("tinker" in trained ? trained.tinker : undefined, run.file(savedFile)),
    style: request.style,
    say
  }, { ...request.layers, ...request.elsewhere }, store)
  const services = yield* Layer.build(
    stages.pipe(Layer.provideMerge(runtimeOf(c, parameterCount(policy.checkpoint.config), before)), Layer.provideMerge(Layer.succeedContext(store.services)))
  )

  return yield* Effect.gen(function*() {
    const runtime = yield* OnnxRuntime
    const { identity, name } = yield* Judge
    if (before !== undefined) yield* needJudge(before, identity)
    const progress = yield* makeProgress(request.style, "step", c.max_steps, from.version)
    if (before !== undefined) yield* tellMachine(before, facts.machine, say)
    for (const message of refused) {
      yield* say(`${message}: the run continues from step ${from.version}${found === undefined ? ", the beginning" : ""}.`)
      yield* state.count("checkpoint/refused")
    }
    if (before !== undefined) yield* state.count("run/resumed")
    const choice = String(before === undefined ? runtime.choice : before.config["device_choice"])
    const resolved = {
      ...settings, ...overruled(own, request, name), asked: before?.config["asked"] ?? askedFor(c, taken), ...origin,
      model: policy.folder, model_commit: policy.base.revision, judge_identity: identity,
      device_choice: choice, device_used: runtime.device, threads_used: runtime.threads, ...facts
    }
    yield* writeConfig(run, resolved)
    const stored = yield* Layer.build(storage({ run, id: runId, style: request.style, note: say }))
    yield* Ref.set(underWay, true)

    yield* progress.note(
      `${run.path}: ${from.version === 0 ? "" : `from step ${from.version} to `}${c.max_steps} steps, ${c.prompts_per_step} prompts x ${c.num_generations} candidates, judge ${name}, ${choice}.`
    )
    if (!replaces(request.layers.judge)) yield* noteCost(c, pipeline, progress)
    const scorers = yield* heldOutScorers
    const tracker = yield* Layer.build(trackers({
      folder: run.path,
      events: run.file("tensorboard"),
      name: path.basename(run.path),
      id: runId,
      from: before === undefined ? undefined : from.version,
      config: resolved,
      note: say
    }))

    const work = Effect.fnUntraced(function*(onStep: (outcome: StepOutcome) => Effect.Effect<void>) {
      const result = yield* runTraining({
        pipeline,
        prompts,
        curriculum: curriculum?.stages,
        run,
        objective: c.loss_type,
        lora: trained.lora,
        base: c.model_name_or_path === "embedded" ? { name: "vequinox/models/policy", revision: null } : policy.base,
        initial,
        from: found,
        stepBack: {
          onDivergence: c.on_divergence,
          keeps: trained.lora !== undefined || isSmall(policy.checkpoint.config),
          likelihood: likelihoodIn(optimizerOf(c).objective),
          weighed: c.use_weighting
        },
        scorers,
        evaluation: {
          temperatures: c.eval_temperatures,
          bestOf: c.eval_best_of,
          progress: (drawings) => makeProgress(request.style, "drawing", drawings)
        },
        trustPairs: c.trust_pairs,
        saveSteps: c.save_steps,
        saveTotalLimit: c.save_total_limit,
        progress,
        onStep
      })
      yield* writeReport(run, result, resolved)
      yield* store.settle
      yield* state.finish(c.max_steps)
      yield* (yield* Storage).finished
      return result.summary
    }, Effect.onError(() => say((request.goOn ?? ((run) => `Resume: ${resumeCommand(run)}`))(run))), Effect.provide(Context.mergeAll(services, tracker, stored)))
    return { folder: run.path, finished: false, ...yield* outcomesOf(run, work) }
  }).pipe(Effect.provide(services))
})
