/** `vequinox sft`: supervised fine-tuning on rows of three kinds (src/rows); full, or LoRA if a rank is given. */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Console, Context, Effect, Layer } from "effect"
import { Command, Flag } from "effect/cli"
import { OnnxRuntime, startProgram } from "../../layers/onnx/runtime.ts"
import { readParameters } from "../model/model-folder.ts"
import { schedulerTypes } from "../engine/training/adamw.ts"
import { parameterCount, scorerBytes, trainerBytes } from "../engine/training/memory.ts"
import { initialAdapter, type LoraConfig } from "../engine/weights/parameters.ts"
import { sizeOf } from "../engine/weights/tensor.ts"
import { allLinear, modulesOf } from "../engine/nets/transformer.ts"
import { droppedMetric, Tracker } from "../stages/Tracker.ts"
import { makeProgress, progressStyle } from "../system/progress.ts"
import { needFreeFolder } from "../system/outputs.ts"
import * as Flags from "../wiring/flags.ts"
import { int } from "../system/ranges.ts"
import { givenSettings, numberFlag, numberSetting, settingFlags } from "../wiring/setting-flags.ts"
import { resolveConfig } from "../wiring/settings.ts"
import { isTracked, openTrackers } from "../wiring/trackers.ts"
import { openPolicy } from "../wiring/policy.ts"
import { trainerDefaults } from "../wiring/trainer-defaults.ts"
import { trainRows } from "./sft-loop.ts"
import { resultOf, sentenceOf, writeResult } from "./sft-result.ts"
import { openRows } from "./sft-rows.ts"
import { inForce, ruleFlags, rulesOf } from "./sft-rules.ts"
import { readState, stateFile, workOf } from "./sft-state.ts"

/** Settings of a run that mean the same here; there are no drawings to write a table of. */
const trackerFlags = ["report_to", "trackio_url", "project", "run_name"] as const

export const sft = Command.make("sft", {
  model: Flags.model,
  revision: Flags.revision,
  data: Flag.String("data").pipe(
    Flag.withDescription("JSON lines or a JSON array of {prompt, completion}, or of TRL's, OpenAI's, LLaMA-Factory's, ShareGPT's or Alpaca's rows; may be given several times"),
    Flag.atLeast(1)
  ),
  ...ruleFlags,
  out: Flags.out.pipe(Flag.withDescription("folder for the trained checkpoint, or for the adapter with --lora-r")),
  steps: numberSetting("max_steps", 1000),
  batchSize: Flags.count("batch-size", 1e6).pipe(Flag.withDescription("rows a step"), Flag.withDefault(64)),
  learningRate: numberSetting("learning_rate", 1e-3),
  scheduler: Flag.Literals("lr-scheduler-type", schedulerTypes).pipe(Flag.withDefault("cosine")),
  warmupSteps: numberSetting("warmup_steps", 50),
  weightDecay: numberSetting("weight_decay", 0.05),
  maxGradNorm: numberSetting("max_grad_norm", 1),
  maxLength: numberSetting("max_length", 256),
  tokensPerRun: numberSetting("tokens_per_run", 8192),
  loraR: numberSetting("lora_r", 0),
  saveDtype: Flag.Literals("save-dtype", ["F32", "F16", "BF16"]).pipe(Flag.withDefault("F16")),
  saveSteps: numberFlag("save-steps", int(0, 1e9)).pipe(
    Flag.withDescription("steps between states from which the same command goes on if it was stopped, kept beside --out; 0 keeps none"),
    Flag.withDefault(0)
  ),
  ...settingFlags(trackerFlags),
  ...Flags.promptForm,
  seed: Flags.seed,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}, Effect.fn(function*(o) {
  const { complexity, evalData, evalShare, evalSteps, loadBest, mix, patience, stageImprovement, stages, report_to, trackio_url, project, run_name, ...own } = o
  const tracking = yield* resolveConfig(undefined, givenSettings({ report_to, trackio_url, project, run_name }))
  const trackers = yield* openTrackers(tracking)
  const rules = yield* rulesOf({ complexity, evalData, evalShare, evalSteps, loadBest, mix, patience, stageImprovement, stages }, o.steps)
  const { base, checkpoint, folder, tokenizer } = yield* openPolicy(o.model, o.revision, progressStyle(o.json))
  yield* needFreeFolder(o.out, "--out", { "--model": folder })
  const { data, maxLength, prefill, promptTemplate, systemPrompt } = o
  const rows = yield* openRows(tokenizer, { ...rules, data, maxLength, form: { prefill, promptTemplate, systemPrompt } })
  const { device: _, json: __, out: ___, saveSteps: ____, threads: _____, ...settings } = own
  const work = workOf({ ...settings, ...inForce(rules) }, [rows.trained, rows.heldOut])
  const earlier = yield* readState(o.out, work)
  const lora: LoraConfig | undefined = o.loraR > 0
    ? { r: o.loraR, alpha: 2 * o.loraR, targets: allLinear }
    : undefined
  yield* Effect.scoped(Effect.gen(function*() {
    const runtime = yield* OnnxRuntime
    yield* runtime.reserve("trainer", trainerBytes(checkpoint.config, lora, o.tokensPerRun, o.maxLength))
    const parameters = earlier?.parameters ?? (lora === undefined
      ? readParameters(checkpoint)
      : initialAdapter(modulesOf(checkpoint.config), lora, o.seed))
    if (rules.evaluates) yield* runtime.reserve("evaluation", scorerBytes(checkpoint.config, lora, o.tokensPerRun, o.maxLength))
    if (rules.loadBest) yield* runtime.reserve("best model", [...parameters.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0))
    const trainer = yield* startProgram("trainer", {
      checkpoint,
      lora,
      parameters,
      ...earlier && { state: { step: earlier.step, moments: new Map(earlier.moments) } },
      ...trainerDefaults(o.maxLength, o.tokensPerRun, {
        learningRate: o.learningRate,
        schedulerType: o.scheduler,
        warmupSteps: o.warmupSteps,
        totalSteps: o.steps,
        maxGradNorm: o.maxGradNorm,
        weightDecay: o.weightDecay,
        adamBeta2: 0.98
      }),
      device: runtime.device,
      spinning: runtime.spinning,
      threads: runtime.threads
    })
    const first = earlier?.step ?? 0
    const progress = yield* makeProgress(progressStyle(o.json), "step", o.steps, first)
    if (first > 0) yield* progress.note(`Goes on after step ${first} of ${o.steps}.`)
    for (const note of rows.notes) yield* progress.note(note)
    const { model: _, ...told } = own
    const trackingId = earlier?.tracked?.id ?? randomUUID()
    const tracker = Context.get(
      yield* Layer.build(trackers({
        folder: o.out,
        events: path.join(`${path.resolve(o.out)}.tensorboard`, trackingId.slice(0, 8)), // a start anew is another curve
        name: path.basename(path.resolve(o.out)),
        id: trackingId,
        from: earlier === undefined ? undefined : first + 1,
        config: { ...told, ...inForce(rules) },
        note: (line) => Effect.sync(() => void process.stderr.write(`${line}\n`))
      })),
      Tracker
    )
    const trained = yield* tracker.around(trainRows({ trainer, rows, rules, progress, earlier, work, tracker, trackingId: isTracked(tracking) ? trackingId : undefined, o }))
    yield* tracker.end
    const dropped = Object.entries(yield* tracker.dropped).map(([name, count]) => [droppedMetric(name), count])
    const count = rows.trained.length
    const result = resultOf(trained, rules)
    yield* writeResult({
      ...o,
      base,
      folder: checkpoint.folder,
      lora,
      parameters: trained.parameters,
      record: { ...told, ...inForce(rules), rows: count, ...rules.evaluates && { eval_rows: rows.heldOut.length }, ...result, ...Object.fromEntries(dropped), curve: trained.curve }
    })
    fs.rmSync(stateFile(o.out), { force: true })
    if (o.json && rules.evaluates) yield* Console.log(JSON.stringify(result))
    yield* progress.note(sentenceOf(o, trained, count, rules))
  }).pipe(Effect.provide(OnnxRuntime.layer(o.device, parameterCount(checkpoint.config), { threads: o.threads, overlap: false }))))
})).pipe(Command.withDescription("Supervised fine-tuning on rows of prompts with drawings, corrected drawings and critiques"))
