/** Steps of the real sampler and trainer programs under a run's default settings: without a profile, then with one. */
import * as path from "node:path"
import { Effect } from "effect"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import { type SampleCall, SamplerProgram } from "../../layers/onnx/sampler-program.ts"
import { Trainer } from "../../layers/onnx/trainer-program.ts"
import type { Batch } from "../../layers/onnx/trainer-batches.ts"
import { modulesOf } from "../../src/engine/nets/transformer.ts"
import { hash32 } from "../../src/engine/random.ts"
import { parameterCount } from "../../src/engine/training/memory.ts"
import { initialAdapter } from "../../src/engine/weights/parameters.ts"
import { autoPrecision, type SamplerPrecision } from "../../src/engine/weights/quantization.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { quantizedWeights } from "../../src/model/quantized-weights.ts"
import { openTokenizer, promptIds } from "../../src/model/tokenizer/tokenizer.ts"
import { embeddedPrompts } from "../../src/prompts.ts"
import { optimizerOf } from "../../src/wiring/run/optimizer-settings.ts"
import { formatOf, samplingOf } from "../../src/wiring/run/sampling-settings.ts"
import type { TrainConfig } from "../../src/wiring/settings.ts"
import { watched } from "../quiet.ts"
import { type CodePart, sampled, secondsByPart } from "./stack-samples.ts"
import { watchSessions } from "./sessions.ts"
import type { Profiled } from "./shapes.ts"
import type { Measured } from "./shares.ts"

export interface Asked {
  readonly settings: TrainConfig
  /** Measured, after one that is not. */
  readonly steps: number
}

/** Tokens of prompts and drawings where a model has no tokenizer. */
const [promptTokens, newTokens] = [64, 64]

export interface Measurement {
  readonly precision: SamplerPrecision
  readonly parameters: number
  readonly threads: number
  /** Of all steps. */
  readonly tokens: { readonly drawn: number; readonly trained: number }
  readonly sampler: Measured
  readonly trainer: Measured
  /** The same steps without a profile: wall clock of one. */
  readonly plain: { readonly sampler: number; readonly trainer: number }
  /** Seconds of the processor with the profile by those without: what others take of the machine does not count. */
  readonly slower: { readonly sampler: number; readonly trainer: number }
  readonly othersCores: number
}

interface Clock {
  wall: number
  cpu: number
  messages: number
  readonly code: Map<CodePart, number>
}

const newClock = (): Clock => ({ wall: 0, cpu: 0, messages: 0, code: new Map() })

interface Timed<A> {
  readonly value: A
  readonly seconds: number
  /** Of this process on all cores. */
  readonly cpu: number
}

const timed = async <A>(work: () => A | Promise<A>): Promise<Timed<A>> => {
  const [began, used] = [performance.now(), process.cpuUsage()]
  const value = await work()
  const seconds = (performance.now() - began) / 1000
  const { system, user } = process.cpuUsage(used)
  return { value, seconds, cpu: (system + user) / 1e6 }
}

/** One call as it goes from the main thread to a program's and back. @param sessions that are profiled; undefined: none */
const call = async <A, B>(clock: Clock, asked: A, sessions: ReturnType<typeof watchSessions> | undefined, run: (asked: A) => Promise<B>): Promise<B> => {
  if (sessions === undefined) {
    const { cpu, seconds, value } = await timed(() => run(asked))
    clock.wall += seconds
    clock.cpu += cpu
    return value
  }
  const there = await timed(() => structuredClone(asked))
  const before = sessions.written()
  const { profile: stacks, value: { cpu, seconds, value } } = await sampled(() => timed(() => run(asked)))
  const back = await timed(() => structuredClone(value))
  const writing = sessions.written() - before
  clock.wall += seconds - writing
  clock.cpu += cpu - writing
  clock.messages += there.seconds + back.seconds
  for (const [part, own] of secondsByPart(stacks)) clock.code.set(part, (clock.code.get(part) ?? 0) + own)
  return value
}

const prompts = async ({ folder, speaks }: Profiled, { settings }: Asked, vocab: number): Promise<ReadonlyArray<ReadonlyArray<number>>> => {
  const count = settings.prompts_per_step
  if (!speaks) return Array.from({ length: count }, (_, n) => Array.from({ length: promptTokens }, (_, t) => hash32(n, t) % vocab))
  const tokenizer = await Effect.runPromise(openTokenizer(folder))
  const { train } = embeddedPrompts(settings.seed)
  return Array.from({ length: count }, (_, n) => promptIds(tokenizer, formatOf(settings), train[n % train.length]!.text))
}

/** @param scratch an empty folder */
export const measure = async (model: Profiled, asked: Asked, scratch: string): Promise<Measurement> => {
  const { settings: c, steps } = asked
  const checkpoint = await Effect.runPromise(openDecoder(model.folder))
  const parameters = parameterCount(checkpoint.config)
  const { spinning, threads } = await Effect.runPromise(
    Effect.provide(OnnxRuntime, OnnxRuntime.layer("cpu", parameters, { threads: c.threads, overlap: c.max_staleness > 0 }))
  )
  const lora = { r: c.lora_r, alpha: c.lora_alpha, targets: c.lora_target_modules }
  const precision = c.sampler_precision === "auto" ? autoPrecision(parameters, true, "cpu", c.max_num_seqs) : c.sampler_precision
  const quantized = precision === "float32" ? undefined : await Effect.runPromise(
    quantizedWeights(checkpoint, { precision, cache: path.join(scratch, "quantized"), progress: () => Effect.succeed(() => Effect.void) })
  )
  const tokenizer = model.speaks ? await Effect.runPromise(openTokenizer(model.folder)) : undefined
  const ids = await prompts(model, asked, checkpoint.config.vocab)
  const where = { checkpoint, lora, device: "cpu", spinning, threads } as const
  /** All steps from the beginning, in new programs. */
  const run = async (profile: boolean) => {
    const sessions = profile ? watchSessions(scratch) : undefined
    const sampler = new SamplerProgram({
      ...where,
      quantized,
      maxLength: c.max_length,
      filters: { minP: c.min_p > 0 },
      maxNumSeqs: c.max_num_seqs,
      tokenTexts: tokenizer?.tokenTexts ?? []
    })
    let policy: Parameters = initialAdapter(modulesOf(checkpoint.config), lora, c.seed)
    const trainer = new Trainer({ ...where, parameters: policy, ...optimizerOf(c) })
    let [sampling, training, drawn, trained] = [newClock(), newClock(), 0, 0]
    try {
      for (let step = 0; step <= steps; step++) {
        if (step === 1) {
          sessions?.begin()
          ;[sampling, training, drawn, trained] = [newClock(), newClock(), 0, 0]
        }
        const asking: SampleCall = {
          prompts: ids.map((ids, n) => ({ ids, seeds: Array.from({ length: c.num_generations }, (_, k) => hash32(step, n, k)) })),
          parameters: policy,
          options: samplingOf(c),
          maxNewTokens: model.speaks ? c.max_new_tokens : newTokens,
          stop: "</svg>",
          eosIds: tokenizer?.eosIds ?? []
        }
        const groups = await call(sampling, asking, sessions, (asking) => sampler.sample(asking))
        drawn += groups.flat().reduce((n, { ids }) => n + ids.length, 0)
        // One pair a prompt, as the run's best and worst: two drawings of each prompt are trained.
        const batch: Batch = {
          sequences: groups.flatMap((group, n) => group.slice(0, 2).map((drawing) => ({ ids: [...ids[n]!, ...drawing.ids], promptLength: ids[n]!.length }))),
          examples: ids.map((_, n) => ({ members: [2 * n, 2 * n + 1], signal: 1, weight: 1 }))
        }
        trained += batch.sequences.reduce((n, { ids }) => n + ids.length, 0)
        const stepped = await call(training, batch, sessions, (batch) => trainer.step(batch))
        if ("notFinite" in stepped) throw new Error(stepped.notFinite)
        policy = stepped.parameters
        process.stderr.write(`  ${profile ? "with" : "without"} a profile: ${step === 0 ? "a first step, not counted" : `step ${step} of ${steps}`}\n`)
      }
    } finally {
      sessions?.stop()
      await Promise.all([sampler.release(), trainer.release()])
    }
    const read = await sessions?.read() ?? []
    return {
      tokens: { drawn, trained },
      sampler: { ...sampling, steps, sessions: read.filter(({ kind }) => kind !== "update") },
      trainer: { ...training, steps, sessions: read.filter(({ kind }) => kind === "update") }
    }
  }
  const plain = await run(false)
  let profiled = plain
  const { others } = await watched(async () => {
    profiled = await run(true)
    return 0
  })
  const { sampler, tokens, trainer } = profiled
  const slower = { sampler: sampler.cpu / plain.sampler.cpu, trainer: trainer.cpu / plain.trainer.cpu }
  const alone = { sampler: plain.sampler.wall / steps, trainer: plain.trainer.wall / steps }
  return { precision, parameters, threads, tokens, sampler, trainer, plain: alone, slower, othersCores: others }
}
