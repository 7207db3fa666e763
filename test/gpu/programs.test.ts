/** Sampler, trainer and scorer on WebGPU beside the CPU, with the small models of test/golden: the same numbers to 1e-3. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { startProgram } from "../../layers/onnx/runtime.ts"
import { SamplerProgram, type SampleCall, type SamplerSpec } from "../../layers/onnx/sampler-program.ts"
import { ScorerProgram } from "../../layers/onnx/scorer-program.ts"
import { type Device, profileSessions } from "../../layers/onnx/session.ts"
import type { Batch } from "../../layers/onnx/trainer-batches.ts"
import { Trainer, type TrainerSpec } from "../../layers/onnx/trainer-program.ts"
import { allLinear, modulesOf } from "../../src/engine/nets/transformer.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { initialAdapter } from "../../src/engine/weights/parameters.ts"
import { openDecoder, readParameters } from "../../src/model/model-folder.ts"
import { openClip } from "../../src/scorers/clip.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"

const folder = (name: string) => path.join(import.meta.dirname, "../golden", name)
const embedded = (name: string) => path.join(import.meta.dirname, "../../models", name)
const sequence = (...completion: ReadonlyArray<number>) => ({ ids: [1, 2, 3, ...completion], promptLength: 3 })
const batch: Batch = {
  sequences: [sequence(4, 5), sequence(6, 7, 8), sequence(9), sequence(5, 4), sequence(8, 6), sequence(7, 7), sequence(9, 4)],
  examples: [[0, 1], [0, 2], [3, 4], [5, 6]].map(([chosen, rejected]) => ({ members: [chosen!, rejected!] as const, signal: 1, weight: 1 }))
}

const specsOf = async (from: string, kind: "lora" | "full", device: Device): Promise<{ readonly trainer: TrainerSpec; readonly sampler: SamplerSpec }> => {
  const checkpoint = await Effect.runPromise(openDecoder(from))
  const lora = kind === "full" ? undefined : { r: 4, alpha: 8, targets: allLinear }
  const parameters = lora === undefined ? readParameters(checkpoint) : initialAdapter(modulesOf(checkpoint.config), lora, 1)
  const shared = { checkpoint, lora, device, threads: 1 }
  return {
    trainer: {
      ...shared, parameters, reference: undefined, objective: { lossType: "sigmoid", beta: 0.5, labelSmoothing: 0 },
      options: trainerDefaults(64, 4096, { learningRate: kind === "full" ? 1e-3 : 1e-2, maxGradNorm: 1 }).options
    },
    sampler: {
      ...shared, maxLength: 64, maxNumSeqs: 8, sharePrompts: kind === "lora",
      tokenTexts: Array.from({ length: checkpoint.config.vocab }, (_, id) => `<${id}>`)
    }
  }
}

/** Two updates, then log p of every token. */
const trained = async (from: string, kind: "lora" | "full", device: Device) => {
  const own = new Trainer((await specsOf(from, kind, device)).trainer)
  const metrics = [await own.update(batch), await own.update(batch)].map((m) => [m["loss"]!, m["grad_norm"]!])
  const logps = (await own.logps(batch.sequences, false)).flat()
  await own.release()
  return { metrics, logps }
}

const callOf = ({ trainer }: { readonly trainer: TrainerSpec }): SampleCall => ({
  prompts: [{ ids: [1, 2, 3], seeds: [1, 2, 3] }, { ids: [4, 5], seeds: [4] }],
  parameters: trainer.parameters, options: plain, maxNewTokens: 8, stop: "<none>", eosIds: []
})
const drawn = async (from: string, kind: "lora" | "full", device: Device) => {
  const specs = await specsOf(from, kind, device)
  const own = new SamplerProgram(specs.sampler)
  const drawings = (await own.sample(callOf(specs))).flat()
  await own.release()
  return drawings
}

const near = (a: ReadonlyArray<number>, b: ReadonlyArray<number>, what: string) => {
  assert.strictEqual(a.length, b.length)
  a.forEach((x, i) => assert.closeTo(x, b[i]!, 1e-3 * Math.max(1, Math.abs(b[i]!)), `${what} ${i}`))
}

describe.each([["qwen3", "lora"], ["qwen3", "full"], ["gemma3_text", "lora"]] as const)("%s, %s", (family, kind) => {
  it("is trained to the same log-probabilities", async () => {
    const [gpu, cpu] = [await trained(folder(family), kind, "webgpu"), await trained(folder(family), kind, "cpu")]
    near(gpu.metrics.flat(), cpu.metrics.flat(), "loss and gradient norm")
    near(gpu.logps, cpu.logps, "log p")
  })
  it("draws the same tokens", async () => {
    const [gpu, cpu] = [await drawn(folder(family), kind, "webgpu"), await drawn(folder(family), kind, "cpu")]
    assert.deepStrictEqual(gpu.map(({ ids }) => ids), cpu.map(({ ids }) => ids))
    near(gpu.flatMap(({ logps }) => logps), cpu.flatMap(({ logps }) => logps), "log p")
  })
})

it("the embedded policy, whose tables have 16 bits, draws the same tokens", async () => {
  const [gpu, cpu] = [await drawn(embedded("policy"), "lora", "webgpu"), await drawn(embedded("policy"), "lora", "cpu")]
  assert.deepStrictEqual(gpu.map(({ ids }) => ids), cpu.map(({ ids }) => ids))
})

it("the embedded CLIP sees and reads the same", async () => {
  const { checkpoint } = await Effect.runPromise(openClip(embedded("clip")))
  const of = async (device: Device) => {
    const own = new ScorerProgram({ checkpoint, device, threads: 1 })
    const rgba = Uint8Array.from({ length: 4 * 112 ** 2 }, (_, i) => (i * 37) % 256)
    const out = [...await own.run("pictures", [{ picture: { rgba, size: 112 } }])].flatMap((row) => [...row])
    await own.release()
    return out
  }
  near(await of("webgpu"), await of("cpu"), "embedding")
})

it("threads on the device at once take turns, and each gets its own result", async () => {
  const [gpu, cpu] = await Promise.all((["webgpu", "cpu"] as const).map((device) => specsOf(folder("qwen3"), "lora", device)))
  const expected = await drawn(folder("qwen3"), "lora", "cpu")
  const both = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const [sampler, trainer] = [yield* startProgram("sampler", gpu!.sampler), yield* startProgram("trainer", gpu!.trainer)]
    return yield* Effect.all([
      Effect.forEach(Array(6), () => sampler.sample(callOf(cpu!))),
      Effect.forEach(Array(6), () => trainer.logps(batch.sequences, false))
    ], { concurrency: 2 })
  })))
  for (const drawings of both[0]) assert.deepStrictEqual(drawings.flat().map(({ ids }) => ids), expected.map(({ ids }) => ids))
  for (const logps of both[1]) assert.deepStrictEqual(logps, both[1][0])
})

/** What stays on the CPU: lengths, which are read at run time, and what is made of them. */
const ofLengths = new Set(["Shape", "Concat", "Slice", "Unsqueeze", "Add", "Range"])

it("all that computes runs on the device: only lengths stay behind", async () => {
  const profiles = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-gpu-"))
  let sessions = 0
  profileSessions(() => ({ filePrefix: path.join(profiles, `${sessions++}`), ran: () => {}, wrote: () => {} }))
  try {
    await trained(folder("qwen3"), "lora", "webgpu")
    await drawn(folder("qwen3"), "lora", "webgpu")
  } finally {
    profileSessions(undefined)
  }
  type Event = { readonly args?: { readonly provider?: string; readonly op_name?: string; readonly output_type_shape?: ReadonlyArray<Record<string, ReadonlyArray<number>>> } }
  const events = fs.readdirSync(profiles).flatMap((file) => JSON.parse(fs.readFileSync(path.join(profiles, file), "utf8")) as Array<Event>)
  fs.rmSync(profiles, { recursive: true })
  const on = (provider: string) => events.filter(({ args }) => args?.provider === provider)
  const left = on("CPUExecutionProvider").filter(({ args }) => !ofLengths.has(args!.op_name!) || !args!.output_type_shape?.every((type) => "int64" in type))
  assert.deepStrictEqual([...new Set(left.map(({ args }) => JSON.stringify([args!.op_name, args!.output_type_shape])))], [])
  assert.isAbove(on("WebGpuExecutionProvider").length, 1000)
})
