/**
 * The trainer on the Qwen3-0.6B shape with few layers and random bf16 weights: LoRA r 16, DPO step of one pair of 256
 * tokens each. GF/s by useful operations beside the matrix product that this machine does best, measured in the same run.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import type { Sequence } from "../layers/onnx/sequences.ts"
import { createSession, float32 } from "../layers/onnx/session.ts"
import { Trainer } from "../layers/onnx/trainer-program.ts"
import { openDecoder } from "../src/checkpoint.ts"
import { trainerDefaults } from "../src/commands/trainer-defaults.ts"
import { Graph } from "../src/numerics/graph.ts"
import { initialAdapter } from "../src/numerics/parameters.ts"
import { hash32 } from "../src/numerics/random.ts"
import { sizeOf } from "../src/numerics/tensor.ts"
import { allLinear, type DecoderConfig, modulesOf, parameterShapes } from "../src/numerics/transformer.ts"
import { median } from "./median.ts"

export const qwenShape = (layers: number): DecoderConfig => ({
  family: "qwen3",
  vocab: 151_936,
  hidden: 1024,
  intermediate: 3072,
  layers,
  heads: 16,
  kvHeads: 8,
  headDim: 128,
  queryScalar: 128,
  normEpsilon: 1e-6,
  ropeTheta: 1_000_000,
  ropeScaling: undefined,
  sliding: undefined,
  tied: true,
  maxPositions: 40_960
})

/** A checkpoint folder of this shape: bf16, small random weights, norms one. */
export const writeRandomCheckpoint = (folder: string, c: DecoderConfig): void => {
  fs.mkdirSync(folder, { recursive: true })
  const header: Record<string, unknown> = {}
  let at = 0
  const shapes = [...parameterShapes(c)]
  for (const [name, shape] of shapes) {
    header[name] = { dtype: "BF16", shape, data_offsets: [at, at += 2 * sizeOf(shape)] }
  }
  const text = JSON.stringify(header)
  const json = new TextEncoder().encode(text.padEnd(8 * Math.ceil(text.length / 8))) // tensors start aligned, as real files have them
  const length = new Uint8Array(8)
  new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true)
  const fd = fs.openSync(path.join(folder, "model.safetensors"), "w")
  fs.writeSync(fd, length)
  fs.writeSync(fd, json)
  // bf16 of about ±0.02: a sign, the exponent of 2^-6, seven random bits.
  const noise = Uint16Array.from({ length: 1 << 20 }, (_, i) => {
    const h = hash32(i)
    return ((h & 1) << 15) | ((0x79 - (h >>> 1) % 3) << 7) | (h >>> 8) & 0x7f
  })
  for (const [name, shape] of shapes) {
    const one = /norm/.test(name)
    for (let left = sizeOf(shape); left > 0; left -= noise.length) {
      const part = noise.subarray(0, Math.min(left, noise.length))
      fs.writeSync(fd, one ? new Uint16Array(part.length).fill(0x3f80) : part)
    }
  }
  fs.closeSync(fd)
  fs.writeFileSync(
    path.join(folder, "config.json"),
    JSON.stringify({
      model_type: "qwen3",
      vocab_size: c.vocab,
      hidden_size: c.hidden,
      intermediate_size: c.intermediate,
      num_hidden_layers: c.layers,
      num_attention_heads: c.heads,
      num_key_value_heads: c.kvHeads,
      head_dim: c.headDim,
      rms_norm_eps: c.normEpsilon,
      rope_theta: c.ropeTheta,
      tie_word_embeddings: c.tied,
      max_position_embeddings: c.maxPositions
    })
  )
}

/** GF/s of one float32 product [512, 1024] x [1024, 3072], the best of many: what the machine can do today. */
export const matmulPeak = async (threads: number): Promise<number> => {
  const [m, k, n] = [512, 1024, 3072]
  const g = new Graph()
  const x = g.input("x", "float32", [m, k])
  const w = g.weight("w", "float32", [n, k], { _tag: "Inline", data: new Uint8Array(4 * n * k).fill(1) })
  // One number out: fetching the product would be timed too.
  g.output("y", g.sum(g.emit("Gemm", [x, w], { transB: 1 }), [0, 1]))
  const session = await createSession(g, { device: "cpu", threads, weights: "prepared" })
  const feeds = { x: float32([m, k], new Float32Array(m * k).fill(0.01)) }
  let best = Infinity
  for (let i = 0; i < 30; i++) {
    const start = performance.now()
    await session.run(feeds)
    best = Math.min(best, performance.now() - start)
  }
  await session.release()
  return 2 * m * k * n / best / 1e6
}

/**
 * Useful floating-point operations of one DPO step, in GF: the reference's forward pass, the policy's forward pass, and
 * the backward pass to the activations (frozen matrices need no gradient of their own); attention and LoRA included,
 * causal attention counted at half.
 */
const usefulGigaflops = (c: DecoderConfig, tokens: number, length: number, completion: number, r: number): number => {
  const modules = modulesOf(c)
  const matrices = modules.reduce((n, { in: width, out }) => n + width * out, 0)
  const lora = modules.reduce((n, { in: width, out }) => n + r * (width + out), 0)
  const attention = c.layers * c.heads * c.headDim * length // scores and mix, half of them masked
  const head = c.vocab * c.hidden * completion / tokens
  const forward = 2 * (matrices + attention + head)
  return tokens * (forward + (forward + 2 * lora) + (forward + 2 * attention + 4 * lora)) / 1e9
}

export const benchTrainer = async (layers = 4, threads = os.availableParallelism()) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
  try {
    const c = qwenShape(layers)
    writeRandomCheckpoint(folder, c)
    const checkpoint = await Effect.runPromise(openDecoder(folder))
    const lora = { r: 16, alpha: 32, targets: allLinear }
    const length = 256
    const promptLength = 64
    const trainer = new Trainer({
      checkpoint,
      lora,
      parameters: initialAdapter(modulesOf(c), lora, 0),
      ...trainerDefaults(length, 2 * length, { learningRate: 1e-4 }),
      device: "cpu",
      threads
    })
    const sequences = [0, 1].map((n): Sequence => ({
      ids: Array.from({ length }, (_, t) => hash32(n, t) % c.vocab),
      promptLength
    }))
    const step = () => trainer.preferenceStep({ sequences, pairs: [{ chosen: 0, rejected: 1, label: 1, weight: 1 }] })
    await step()
    const peak: Array<number> = [await matmulPeak(threads)]
    const seconds: Array<number> = []
    for (let i = 0; i < 5; i++) {
      const start = performance.now()
      await step()
      seconds.push((performance.now() - start) / 1000)
      peak.push(await matmulPeak(threads))
    }
    await trainer.release()
    const gigaflops = usefulGigaflops(c, 2 * length, length, 2 * (length - promptLength), lora.r)
    const rate = gigaflops / median(seconds)
    return {
      shape: `Qwen3-0.6B, ${layers} layers`,
      tokens: 2 * length,
      secondsAStep: median(seconds),
      gigaflopsPerSecond: rate,
      matmulPeakGigaflopsPerSecond: median(peak),
      ratioToPeak: rate / median(peak),
      rssGigabytes: process.memoryUsage().rss / 1e9
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
