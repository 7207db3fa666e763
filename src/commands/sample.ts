/** `vequinox sample`: draws prompts with a policy, with or without its adapter; writes SVG files or JSON lines. */
import * as path from "node:path"
import { Console, Effect, Layer, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as samplerOnnx from "../../layers/sampler/onnx.ts"
import { openAdapter } from "../model/adapter.ts"
import { parameterCount } from "../engine/training/memory.ts"
import { noAdapter } from "../engine/weights/parameters.ts"
import { plain } from "../engine/sampling/sampling.ts"
import { fileNames, needNewFiles, writeNewFile } from "../system/outputs.ts"
import { progressStyle } from "../system/progress.ts"
import { promptOf, readPrompts } from "../prompts.ts"
import { Sampler } from "../stages/Sampler.ts"
import { extractSvg } from "../drawing/gate.ts"
import { BadInput } from "../system/errors.ts"
import * as Flags from "../wiring/flags.ts"
import { numberSetting } from "../wiring/setting-flags.ts"
import { openPolicy } from "../wiring/policy.ts"
import { quantizedCache, tellQuantizing } from "../wiring/quantized-cache.ts"

export const sample = Command.make("sample", {
  texts: Argument.String("prompt").pipe(Argument.withDescription("what to draw"), Argument.variadic()),
  model: Flags.model,
  revision: Flags.revision,
  adapter: Flags.adapter,
  prompts: Flag.String("prompts").pipe(Flag.withDescription("file of prompts, instead of arguments"), Flag.optional),
  k: Flags.count("k", 4096).pipe(Flag.withDescription("drawings a prompt"), Flag.withDefault(1)),
  out: Flags.out.pipe(Flag.withDescription("folder for the SVG files; without it they go to stdout"), Flag.optional),
  temperature: numberSetting("temperature", plain.temperature),
  topK: numberSetting("top_k", plain.topK),
  topP: numberSetting("top_p", plain.topP),
  minP: numberSetting("min_p", plain.minP),
  repetitionPenalty: numberSetting("repetition_penalty", plain.repetitionPenalty),
  maxNewTokens: numberSetting("max_new_tokens", 160),
  ...Flags.promptForm,
  samplerPrecision: Flags.samplerPrecision,
  seed: Flags.seed,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}, Effect.fn(function*(o) {
  const prompts = Option.isSome(o.prompts)
    ? (({ heldOut, train }) => [...train, ...heldOut])(yield* readPrompts(o.prompts.value, Infinity))
    : o.texts.map(promptOf)
  if (prompts.length === 0) {
    return yield* new BadInput({ message: "There is nothing to draw: give a prompt, or a file with --prompts." })
  }
  const names = fileNames(prompts)
  const fileOf = (prompt: number, candidate: number) =>
    Option.map(o.out, (folder) => path.join(folder, `${names[prompt]}-${candidate}.svg`))
  const files = prompts.flatMap((_, n) => Array.from({ length: o.k }, (_, i) => Option.toArray(fileOf(n, i))).flat())
  yield* needNewFiles(files, "--out")
  const { checkpoint, tokenizer } = yield* openPolicy(o.model, o.revision, progressStyle(o.json))
  const adapter = Option.getOrUndefined(
    yield* Effect.transposeOption(Option.map(o.adapter, (folder) => openAdapter(folder, checkpoint)))
  )
  const maxLength = Math.min(checkpoint.config.maxPositions, o.maxNewTokens + 256)
  const stages = samplerOnnx.layer({
    checkpoint,
    tokenizer,
    format: { systemPrompt: o.systemPrompt, promptTemplate: o.promptTemplate, prefill: o.prefill },
    lora: adapter?.lora ?? noAdapter,
    sampling: {
      temperature: o.temperature,
      topK: o.topK,
      topP: o.topP,
      minP: o.minP,
      repetitionPenalty: o.repetitionPenalty
    },
    maxNewTokens: o.maxNewTokens,
    maxLength,
    stop: "</svg>",
    stopMalformed: false,
    maxNumSeqs: Math.min(128, Math.min(prompts.length, batch) * o.k),
    precision: o.samplerPrecision,
    cache: yield* quantizedCache,
    quantizing: (total) => tellQuantizing(progressStyle(o.json), total)
  }).pipe(Layer.provide(OnnxRuntime.layer(o.device, parameterCount(checkpoint.config), { threads: o.threads, overlap: false })))
  yield* Effect.gen(function*() {
    const sampler = yield* Sampler
    for (let at = 0; at < prompts.length; at += batch) {
      const groups = yield* sampler.sample({
        step: 0,
        prompts: prompts.slice(at, at + batch),
        k: o.k,
        seed: o.seed,
        policy: { version: 0, parameters: adapter?.parameters ?? new Map() }
      })
      for (const [n, candidate] of groups.flatMap((group, i) => group.map((candidate) => [at + i, candidate] as const))) {
        const svg = extractSvg(candidate.svg) ?? candidate.svg
        const file = fileOf(n, candidate.index)
        if (Option.isSome(file)) yield* writeNewFile(file.value, svg + "\n", "--out", false)
        if (o.json) {
          const { completionIds, finish, index, logps, prompt } = candidate
          yield* Console.log(JSON.stringify({
            prompt: prompt.text,
            index,
            svg,
            finish,
            tokens: completionIds.length,
            logps: logps.reduce((a, b) => a + b, 0),
            file: Option.getOrNull(file)
          }))
        } else yield* Console.log(Option.getOrElse(file, () => svg))
      }
    }
  }).pipe(Effect.scoped, Effect.provide(stages))
})).pipe(Command.withDescription("Draw prompts with a policy"))

/** Prompts decoded together. */
const batch = 32
