/**
 * The peer of our sampler: llama.cpp on the CPU, on the Qwen3-0.6B shape with random weights, by the same count of
 * threads. Tokens are forced, so nothing is sampled and nothing stops early; every step still makes the logits.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { type GgufPrecision, writeRandomGguf } from "./gguf.ts"
import { type LlamaContext, type LlamaContextOptions, loadLlama } from "./llama-binding.ts"
import { median } from "./median.ts"
import { qwenShape } from "./trainer.ts"

/** llama.cpp's own default for one pass through the layers. */
const tokensAPass = 512

export interface LlamaPeer {
  /** node-llama-cpp, the llama.cpp in it, and the instructions that it uses. */
  readonly versions: { readonly nodeLlamaCpp: string; readonly llamaCpp: string; readonly instructions: string }
  /** Tokens a second of `batch` sequences together: each `newTokens` more after `context`, one `llama_decode` a step; by the median step. */
  readonly decode: (batch: number, context: number, newTokens: number, flashAttention: boolean) => Promise<number>
  /** Tokens a second of one sequence's prompt, with the logits of its last token. */
  readonly prefill: (tokens: number, flashAttention: boolean) => Promise<number>
  readonly close: () => Promise<void>
}

/** Fails with `LlamaMissing`. The model file is temporary; one context at a time is held, and kept for the next equal call. */
export const openLlama = async (
  precision: GgufPrecision,
  { layers = 28, threads = os.availableParallelism() } = {}
): Promise<LlamaPeer> => {
  const { llama, version } = await loadLlama(threads)
  const shape = qwenShape(layers)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
  const file = path.join(folder, "model.gguf")
  writeRandomGguf(file, shape, precision)
  const model = await llama.loadModel({ modelPath: file })

  const tokens = (n: number) => Uint32Array.from({ length: n }, (_, i) => (i * 7919) % shape.vocab)
  const fill = async ({ _ctx }: LlamaContext, length: number) => {
    const all = tokens(length)
    for (let at = 0; at < length; at += tokensAPass) {
      const part = all.subarray(at, at + tokensAPass)
      const last = at + part.length === length
      _ctx.initBatch(part.length)
      _ctx.addToBatch(0, at, part, last ? Uint32Array.of(part.length - 1) : new Uint32Array())
      await _ctx.decodeBatch()
    }
  }

  let held: { readonly key: string; readonly context: LlamaContext } | undefined
  const open = async (options: Pick<LlamaContextOptions, "sequences" | "contextSize" | "flashAttention">, filled: number) => {
    const key = JSON.stringify([options, filled])
    if (held?.key === key) return held.context
    await held?.context.dispose()
    held = undefined
    const context = await model.createContext({ ...options, batchSize: tokensAPass, threads, ignoreMemorySafetyChecks: true })
    held = { key, context }
    if (filled > 0) await fill(context, filled)
    for (let sequence = 1; filled > 0 && sequence < options.sequences; sequence++) {
      await context._ctx.copySequenceStateFromOtherSequence(sequence, 0)
    }
    return context
  }

  const decode: LlamaPeer["decode"] = async (batch, context, newTokens, flashAttention) => {
    const contextSize = context + newTokens + 1
    const { _ctx } = await open({ sequences: batch, contextSize, flashAttention }, context)
    const step = (position: number) => {
      _ctx.initBatch(batch)
      for (let sequence = 0; sequence < batch; sequence++) {
        _ctx.addToBatch(sequence, position, Uint32Array.of((sequence * 131 + position) % shape.vocab), Uint32Array.of(0))
      }
      return _ctx.decodeBatch()
    }
    await step(context) // carries out what copies were asked for, and builds the graph
    const steps: Array<number> = []
    for (let n = 1; n <= newTokens; n++) {
      const start = performance.now()
      await step(context + n)
      steps.push((performance.now() - start) / 1000)
    }
    for (let sequence = 0; sequence < batch; sequence++) _ctx.removeTokenCellsFromSequence(sequence, context, contextSize)
    return batch / median(steps)
  }

  const prefill: LlamaPeer["prefill"] = async (length, flashAttention) => {
    const context = await open({ sequences: 1, contextSize: length, flashAttention }, 0)
    const start = performance.now()
    await fill(context, length)
    const seconds = (performance.now() - start) / 1000
    context._ctx.removeTokenCellsFromSequence(0, 0, length)
    return length / seconds
  }

  const close = async () => {
    await held?.context.dispose()
    await llama.dispose()
    fs.rmSync(folder, { recursive: true, force: true })
  }
  const versions = { nodeLlamaCpp: version, llamaCpp: llama.llamaCppRelease.release, instructions: llama.systemInfo.trim() }
  return { versions, decode, prefill, close }
}
