/**
 * A trainer in a process of its own, so that its memory is all that is measured: started by trainer.ts with what to train,
 * it makes a step for each message and answers with what the step took. It ends when its parent lets go of it.
 */
import * as fs from "node:fs"
import { Effect } from "effect"
import type { Sequence } from "../layers/onnx/sequences.ts"
import { Trainer } from "../layers/onnx/trainer-program.ts"
import { openDecoder } from "../src/checkpoint.ts"
import { trainerDefaults } from "../src/commands/trainer-defaults.ts"
import { initialAdapter } from "../src/numerics/parameters.ts"
import { hash32 } from "../src/numerics/random.ts"
import { allLinear, modulesOf } from "../src/numerics/transformer.ts"
import { watched } from "./quiet.ts"

export const promptLength = 64
export const rank = 16

export interface ChildSpec {
  readonly folder: string
  readonly threads: number
  readonly checkpointing: boolean
  /** Longest sequence, tokens. */
  readonly maxLength: number
}

/** Tokens of the chosen and of the rejected sequence. */
export type ChildStep = readonly [chosen: number, rejected: number]

export interface ChildAnswer {
  readonly seconds: number
  /** Of this process on all cores. */
  readonly cpuSeconds: number
  readonly coresUsedByOthers: number
  readonly rssBytes: number
  /** Since the process began. */
  readonly peakRssBytes: number
}

const cpuSeconds = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
}

/** maxRSS would remember the process that started this one. */
const peakRssBytes = (): number => {
  const status = process.platform === "linux" ? fs.readFileSync("/proc/self/status", "utf8") : ""
  const peak = /^VmHWM:\s*(\d+)/m.exec(status)?.[1]
  return 1024 * (peak === undefined ? process.resourceUsage().maxRSS : Number(peak))
}

const serve = async ({ checkpointing, folder, maxLength, threads }: ChildSpec) => {
  const checkpoint = await Effect.runPromise(openDecoder(folder))
  const { config: c } = checkpoint
  const lora = { r: rank, alpha: 2 * rank, targets: allLinear }
  const trainer = new Trainer({
    checkpoint,
    lora,
    parameters: initialAdapter(modulesOf(c), lora, 0),
    ...trainerDefaults(maxLength, 2 * maxLength, { learningRate: 1e-4, gradientCheckpointing: checkpointing }),
    device: "cpu",
    spinning: true,
    threads
  })
  let made = 0
  const step = async (lengths: ChildStep) => {
    const sequences = lengths.map((length): Sequence => ({
      ids: Array.from({ length }, (_, t) => hash32(made, length, t) % c.vocab),
      promptLength
    }))
    made++
    await trainer.preferenceStep({ sequences, pairs: [{ chosen: 0, rejected: 1, label: 1, weight: 1 }] })
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
        peakRssBytes: peakRssBytes()
      } satisfies ChildAnswer
    )
  })
  process.on("disconnect", () => void trainer.release())
}

if (import.meta.main) await serve(JSON.parse(process.argv[2]!))
