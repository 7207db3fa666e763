/**
 * A trainer, and a sampler where it is asked for, in a process of their own, so that their memory is all that is measured:
 * started by trainer.ts with what to train, it makes a step for each message and answers with what the step took. It ends
 * when its parent lets go of it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { SamplerProgram, type SamplerSpec } from "../layers/onnx/sampler-program.ts"
import type { Sequence } from "../layers/onnx/sequences.ts"
import { Trainer } from "../layers/onnx/trainer-program.ts"
import { type DecoderCheckpoint, openDecoder } from "../src/model/model-folder.ts"
import { trainerDefaults } from "../src/wiring/trainer-defaults.ts"
import { initialAdapter, type LoraConfig } from "../src/engine/weights/parameters.ts"
import { hash32 } from "../src/engine/random.ts"
import { plain } from "../src/engine/sampling/sampling.ts"
import type { Parameters } from "../src/engine/weights/tensor.ts"
import { allLinear, modulesOf } from "../src/engine/nets/transformer.ts"
import { quantizedWeights } from "../src/model/quantized-weights.ts"
import { watched } from "./quiet.ts"

export const promptLength = 64
export const rank = 16
/** Drawings have few tokens of a vocabulary; each new one maps a part of the embedding's file that was not mapped before. */
const distinctTokens = 2048

export interface ChildSpec {
  readonly folder: string
  readonly threads: number
  readonly checkpointing: boolean
  /** Longest sequence, tokens. */
  readonly maxLength: number
  /** Whether two candidates are drawn before each step, in 8 bits, from the policy as the step before left it. */
  readonly sampling?: boolean
}

/** Tokens of the chosen and of the rejected sequence. */
export type ChildStep = readonly [chosen: number, rejected: number]

export interface ChildAnswer {
  readonly seconds: number
  /** Of this process on all cores. */
  readonly cpuSeconds: number
  readonly coresUsedByOthers: number
  readonly rssBytes: number
  /** Of these what belongs to no file, as the weights do. All of them where the system does not say. */
  readonly anonymousBytes: number
  /** Since the process began. */
  readonly peakRssBytes: number
}

const cpuSeconds = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
}

/** What Linux says of this process's memory, bytes. */
const statusBytes = (name: "VmHWM" | "RssAnon"): number | undefined => {
  const status = process.platform === "linux" ? fs.readFileSync("/proc/self/status", "utf8") : ""
  const kilobytes = new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)?.[1]
  return kilobytes === undefined ? undefined : 1024 * Number(kilobytes)
}

/** maxRSS would remember the process that started this one. */
const peakRssBytes = (): number => statusBytes("VmHWM") ?? 1024 * process.resourceUsage().maxRSS

/** Draws two candidates of a prompt from a policy, as many tokens of each as are asked for. */
const startSampler = async (checkpoint: DecoderCheckpoint, lora: LoraConfig, maxLength: number, where: Pick<SamplerSpec, "device" | "spinning" | "threads">) => {
  const quantized = await Effect.runPromise(quantizedWeights(checkpoint, {
    precision: "dynamic_int8",
    cache: path.join(checkpoint.folder, "quantized"),
    progress: () => Effect.succeed(() => Effect.void)
  }))
  const sampler = new SamplerProgram({ checkpoint, lora, quantized, measureGap: false, maxLength, maxNumSeqs: 2, tokenTexts: [], ...where })
  const draw = (ids: ReadonlyArray<number>, parameters: Parameters, maxNewTokens: number) =>
    sampler.sample({ prompts: [{ ids, seeds: [1, 2] }], parameters, options: { ...plain, temperature: 0 }, maxNewTokens, stop: "</svg>", eosIds: [] })
  return { draw, release: () => sampler.release() }
}

const serve = async ({ checkpointing, folder, maxLength, sampling = false, threads }: ChildSpec) => {
  const checkpoint = await Effect.runPromise(openDecoder(folder))
  const { config: c } = checkpoint
  const lora = { r: rank, alpha: 2 * rank, targets: allLinear }
  const where = { device: "cpu", spinning: true, threads } as const
  let policy: Parameters = initialAdapter(modulesOf(c), lora, 0)
  const sampler = sampling ? await startSampler(checkpoint, lora, maxLength, where) : undefined
  const trainer = new Trainer({
    checkpoint,
    lora,
    parameters: policy,
    ...trainerDefaults(maxLength, 2 * maxLength, { learningRate: 1e-4, gradientCheckpointing: checkpointing }),
    ...where
  })
  let made = 0
  const step = async (lengths: ChildStep) => {
    const sequences = lengths.map((length): Sequence => ({
      ids: Array.from({ length }, (_, t) => hash32(made, length, t) % distinctTokens),
      promptLength
    }))
    made++
    await sampler?.draw(sequences[0]!.ids.slice(0, promptLength), policy, lengths[0] - promptLength)
    const stepped = await trainer.step({ sequences, examples: [{ members: [0, 1], signal: 1, weight: 1 }] })
    if ("notFinite" in stepped) throw new Error(stepped.notFinite)
    policy = stepped.parameters
  }
  process.on("message", async (lengths: ChildStep) => {
    const [start, cpuStart] = [performance.now(), cpuSeconds()]
    const { others } = await watched(async () => {
      await step(lengths)
      return 0
    })
    process.send!(
      {
        seconds: (performance.now() - start) / 1000,
        cpuSeconds: cpuSeconds() - cpuStart,
        coresUsedByOthers: others,
        rssBytes: process.memoryUsage.rss(),
        anonymousBytes: statusBytes("RssAnon") ?? process.memoryUsage.rss(),
        peakRssBytes: peakRssBytes()
      } satisfies ChildAnswer
    )
  })
  process.on("disconnect", () => void Promise.all([trainer.release(), sampler?.release()]))
}

if (import.meta.main) await serve(JSON.parse(process.argv[2]!))
