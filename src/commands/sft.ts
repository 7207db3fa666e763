/** `vequinox sft`: supervised fine-tuning on rows of prompt and completion; full, or LoRA if a rank is given. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Console, Effect, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { OnnxRuntime, startProgram } from "../../layers/onnx/runtime.ts"
import type { Sequence } from "../../layers/onnx/sequences.ts"
import { companionFiles, readParameters } from "../model/model-folder.ts"
import { schedulerTypes } from "../engine/training/adamw.ts"
import { parameterCount, trainerBytes } from "../engine/training/memory.ts"
import { initialAdapter, type LoraConfig } from "../engine/weights/parameters.ts"
import { random, shuffled } from "../engine/random.ts"
import { encodeSafetensors } from "../engine/weights/safetensors.ts"
import { allLinear, modulesOf } from "../engine/nets/transformer.ts"
import { makeProgress, progressStyle } from "../system/progress.ts"
import { promptIds } from "../model/tokenizer/tokenizer.ts"
import { adapterFiles } from "../model/adapter.ts"
import { readBytes, readRows, writeFile, writeFolder } from "../system/files.ts"
import { needFreeFolder } from "../system/outputs.ts"
import { BadInput } from "../system/errors.ts"
import * as Flags from "../wiring/flags.ts"
import { int } from "../system/ranges.ts"
import { numberFlag, numberSetting } from "../wiring/setting-flags.ts"
import { openPolicy } from "../wiring/policy.ts"
import { trainerDefaults } from "../wiring/trainer-defaults.ts"
import { tokenizing } from "../model/tokenizer/limits.ts"
import { readState, stateFile, workOf, writeState } from "./sft-state.ts"

const Row = Schema.Struct({ prompt: Schema.String, completion: Schema.String })

export const sft = Command.make("sft", {
  model: Flags.model,
  revision: Flags.revision,
  data: Flag.String("data").pipe(Flag.withDescription("JSONL rows of {prompt, completion}; the chat template and prefill are added")),
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
  prefill: Flags.prefill,
  promptTemplate: Flags.promptTemplate,
  systemPrompt: Flags.systemPrompt,
  seed: Flags.seed,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}, Effect.fn(function*(o) {
  const rows = yield* readRows(o.data, Row)
  const { base, checkpoint, folder, tokenizer } = yield* openPolicy(o.model, o.revision, progressStyle(o.json))
  yield* needFreeFolder(o.out, "--out", { "--model": folder })
  const { prefill, promptTemplate, systemPrompt } = o
  const whole = yield* Effect.forEach(rows, ({ completion, prompt }) =>
    tokenizing((): Sequence => {
      const start = promptIds(tokenizer, { prefill, promptTemplate, systemPrompt }, prompt)
      const rest = completion.startsWith(prefill) ? completion.slice(prefill.length) : completion
      return { ids: [...start, ...tokenizer.encode(rest), ...tokenizer.eosIds.slice(0, 1)], promptLength: start.length }
    }))
  const sequences = whole.filter(({ ids }) => ids.length <= o.maxLength)
  const tooLong = whole.length - sequences.length
  if (sequences.length === 0) {
    const shortest = whole.reduce((least, { ids }) => Math.min(least, ids.length), Infinity)
    return yield* new BadInput({
      message: `${o.data}: all ${whole.length} rows are longer than --max-length ${o.maxLength}, so none is left to train on; the shortest has ${shortest} tokens.`
    })
  }
  const { device: _, json: __, out: ___, saveSteps: ____, threads: _____, ...deciding } = o
  const work = workOf(deciding, sequences)
  const earlier = yield* readState(o.out, work)
  const lora: LoraConfig | undefined = o.loraR > 0
    ? { r: o.loraR, alpha: 2 * o.loraR, targets: allLinear }
    : undefined
  yield* Effect.scoped(Effect.gen(function*() {
    const runtime = yield* OnnxRuntime
    yield* runtime.reserve("trainer", trainerBytes(checkpoint.config, lora, o.tokensPerRun, o.maxLength))
    const trainer = yield* startProgram("trainer", {
      checkpoint,
      lora,
      parameters: earlier?.parameters ?? (lora === undefined
        ? readParameters(checkpoint)
        : initialAdapter(modulesOf(checkpoint.config), lora, o.seed)),
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
    if (tooLong > 0) yield* progress.note(`${tooLong} of ${whole.length} rows are longer than --max-length ${o.maxLength} and are left out.`)
    const curve: Array<Readonly<Record<string, number>>> = [...earlier?.curve ?? []]
    const order: Array<number> = []
    let epoch = 0
    const started = Date.now() - 1000 * (earlier?.seconds ?? 0)
    for (let step = 0; step < o.steps; step++) {
      while (order.length < o.batchSize) for (const n of shuffled(random(o.seed, epoch++), [...sequences.keys()])) order.push(n)
      const batch = order.splice(0, o.batchSize).map((n) => sequences[n]!)
      if (step < first) continue
      const metrics = yield* trainer.update({ sequences: batch, examples: batch.map((_, n) => ({ members: [n], signal: 1, weight: 1 })) })
      const line = { step: step + 1, ...metrics, seconds: (Date.now() - started) / 1000 }
      if (step % 10 === 9 || step === 0) curve.push(line)
      if (o.saveSteps > 0 && line.step % o.saveSteps === 0 && line.step < o.steps) {
        yield* writeState(o.out, work, { ...yield* trainer.state(), seconds: line.seconds, curve })
      }
      if (o.json) yield* Console.log(JSON.stringify(line))
      yield* progress.tick(step + 1, `loss ${metrics["loss"]!.toFixed(3)}`)
    }
    yield* progress.end
    const { parameters } = yield* trainer.state()
    const { model, ...settings } = o
    const record = JSON.stringify({ ...settings, rows: sequences.length, curve }, null, 1)
    yield* writeFolder(o.out, Effect.fnUntraced(function*(part) {
      const write = (name: string, bytes: string | Uint8Array) => writeFile(path.join(part, name), bytes)
      if (lora === undefined) {
        for (const file of ["config.json", ...companionFiles]) {
          const from = path.join(checkpoint.folder, file)
          if (fs.existsSync(from)) yield* write(file, yield* readBytes(from))
        }
        yield* write("model.safetensors", encodeSafetensors(parameters, o.saveDtype))
      } else {
        for (const [name, bytes] of adapterFiles(parameters, lora, base)) yield* write(name, bytes)
      }
      yield* write("training.json", record)
    }))
    fs.rmSync(stateFile(o.out), { force: true })
    yield* progress.note(`Wrote ${o.out}: loss ${curve.at(-1)?.["loss"]?.toFixed(3)} after ${o.steps} steps on ${sequences.length} rows, from ${model}.`)
  }).pipe(Effect.provide(OnnxRuntime.layer(o.device, parameterCount(checkpoint.config), { threads: o.threads, overlap: false }))))
})).pipe(Command.withDescription("Supervised fine-tuning on {prompt, completion} rows"))
