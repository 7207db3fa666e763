/**
 * The trainer on the Qwen3-0.6B shape with random bf16 weights: LoRA r 16, one DPO pair a step, each measurement in a
 * process of its own (trainer-child.ts), so that its peak of resident memory is that of the trainer alone.
 */
import { fork } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { createSession, float32 } from "../layers/onnx/session.ts"
import { Graph } from "../src/engine/graph/graph.ts"
import { hash32 } from "../src/engine/random.ts"
import { sizeOf } from "../src/engine/weights/tensor.ts"
import { type DecoderConfig, modulesOf, parameterShapes } from "../src/engine/nets/transformer.ts"
import { median } from "./median.ts"
import { type ChildAnswer, type ChildSpec, type ChildStep, promptLength, rank } from "./trainer-child.ts"

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
      model_type: c.family,
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

/**
 * One float32 product [512, 1024] x [1024, 3072], the best of many: what the machine can do today, in GF a second and in GF
 * a second of processor time.
 */
export const matmulPeak = async (threads: number): Promise<{ readonly wall: number; readonly cpu: number }> => {
  const [m, k, n] = [512, 1024, 3072]
  const g = new Graph()
  const x = g.input("x", "float32", [m, k])
  const w = g.weight("w", "float32", [n, k], { _tag: "Inline", data: new Uint8Array(4 * n * k).fill(1) })
  // One number out: fetching the product would be timed too.
  g.output("y", g.sum(g.emit("Gemm", [x, w], { transB: 1 }), [0, 1]))
  const session = await createSession(g, { device: "cpu", spinning: true, threads, weights: "prepared" })
  const feeds = { x: float32([m, k], new Float32Array(m * k).fill(0.01)) }
  let [wall, cpu] = [Infinity, Infinity]
  const together = 3 // a single one is short beside the clocks
  for (let i = 0; i < 10; i++) {
    const [start, used] = [performance.now(), process.cpuUsage()]
    for (let j = 0; j < together; j++) await session.run(feeds)
    const { system, user } = process.cpuUsage(used)
    wall = Math.min(wall, (performance.now() - start) / 1e3)
    cpu = Math.min(cpu, (system + user) / 1e6)
  }
  await session.release()
  const gigaflops = together * 2 * m * k * n / 1e9
  return { wall: gigaflops / wall, cpu: gigaflops / cpu }
}

/**
 * Useful floating-point operations of one DPO step, in GF: the reference's forward pass, the policy's forward pass, and
 * the backward pass to the activations (frozen matrices need no gradient of their own); attention and LoRA included,
 * causal attention counted at half. What checkpointing computes again is not useful.
 *
 * @param completion tokens that are scored, of all `tokens`
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

/** A trainer in a child process: `step` is one update on a pair, `close` ends the process. */
const startChild = (spec: ChildSpec) => {
  const child = fork(path.join(import.meta.dirname, "trainer-child.ts"), [JSON.stringify(spec)])
  const exited = new Promise<number | null>((resolve) => child.on("exit", resolve))
  const step = (lengths: ChildStep) =>
    new Promise<ChildAnswer>((resolve, reject) => {
      child.once("message", (answer: ChildAnswer) => resolve(answer))
      void exited.then((code) => reject(new Error(`the trainer's process ended with ${code}`)))
      child.send(lengths)
    })
  const close = () => {
    if (child.connected) child.disconnect()
    return exited
  }
  return { step, close }
}

const withCheckpoint = async <A>(layers: number, use: (folder: string) => Promise<A>): Promise<A> => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
  try {
    writeRandomCheckpoint(folder, qwenShape(layers))
    return await use(folder)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

const rounded = (x: number, digits: number): number => Number(x.toFixed(digits))

/** Medians of some steps after a first one, and the machine's best product after each. */
const timed = async (layers: number, length: number, spec: ChildSpec, steps: number) => {
  const { close, step } = startChild(spec)
  const answers: Array<ChildAnswer> = []
  const peaks: Array<Awaited<ReturnType<typeof matmulPeak>>> = []
  await step([length, length])
  for (let n = 0; n < steps; n++) {
    answers.push(await step([length, length]))
    peaks.push(await matmulPeak(spec.threads))
  }
  await close()
  const of = (f: (answer: ChildAnswer) => number) => median(answers.map(f))
  const gigaflops = usefulGigaflops(qwenShape(layers), 2 * length, length, 2 * (length - promptLength), rank)
  const seconds = of((answer) => answer.seconds)
  const peak = median(peaks.map(({ wall }) => wall))
  return {
    secondsAStep: rounded(seconds, 2),
    gigaflopsPerSecond: rounded(gigaflops / seconds, 1),
    matmulPeakGigaflopsPerSecond: rounded(peak, 1),
    ratioToPeak: rounded(gigaflops / seconds / peak, 3),
    // By seconds of processor time: what others took of the machine does not count, nor what stood idle.
    ratioToPeakByCpuTime: rounded(gigaflops / of((answer) => answer.cpuSeconds) / median(peaks.map(({ cpu }) => cpu)), 3),
    coresUsedByOthers: rounded(of((answer) => answer.coresUsedByOthers), 2),
    peakRssGigabytes: rounded(answers.at(-1)!.peakRssBytes / 1e9, 2)
  }
}

/** One pair of `length` tokens each, 64 of them prompt, without and with gradient checkpointing. */
export const benchTrainer = (layers = 28, lengths: ReadonlyArray<number> = [256, 512], threads = os.availableParallelism()) =>
  withCheckpoint(layers, async (folder) => {
    const rows = []
    for (const length of lengths) {
      for (const checkpointing of [false, true]) {
        const row = await timed(layers, length, { folder, threads, checkpointing, maxLength: length }, 3)
        rows.push({ shape: `Qwen3-0.6B, ${layers} layers`, tokens: 2 * length, checkpointing, ...row })
        console.error(`  2 x ${length}: ${row.secondsAStep} s, ${row.peakRssGigabytes} GB`)
      }
    }
    return rows
  })

/** Does memory stay flat? Candidates drawn, then a step on a pair of ever different lengths, and the memory after each. */
export const benchSteps = (layers = 28, steps = 50, threads = os.availableParallelism()) =>
  withCheckpoint(layers, async (folder) => {
    const lengthOf = (i: number): number => promptLength + 8 + hash32(i) % 57
    const { close, step } = startChild({ folder, threads, checkpointing: false, maxLength: 128, sampling: true })
    const rss: Array<number> = []
    const anonymous: Array<number> = []
    let peakRssBytes = 0
    for (let n = 0; n < steps; n++) {
      const answer = await step([lengthOf(2 * n), lengthOf(2 * n + 1)])
      rss.push(answer.rssBytes)
      anonymous.push(answer.anonymousBytes)
      peakRssBytes = answer.peakRssBytes
      if (n % 10 === 9) console.error(`  ${n + 1} steps: ${rounded(answer.rssBytes / 1e9, 2)} GB`)
    }
    await close()
    return {
      shape: `Qwen3-0.6B, ${layers} layers`,
      steps,
      rssGigabytes: rss.map((bytes) => rounded(bytes / 1e9, 2)),
      anonymousGigabytes: anonymous.map((bytes) => rounded(bytes / 1e9, 2)),
      peakRssGigabytes: rounded(peakRssBytes / 1e9, 2),
      growthAfterStep5: rounded(rss.at(-1)! / rss[4]! - 1, 3),
      anonymousGrowthAfterStep5: rounded(anonymous.at(-1)! / anonymous[4]! - 1, 3)
    }
  })
