/**
 * Decoding on the Qwen3-0.6B shape with random weights: tokens a second of the sampler as a run uses it, sampling
 * included, by precision and batch size after 256 tokens of context, and of reading prompts; beside llama.cpp on the same
 * shape in the same run, where its binding can be installed.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { SamplerProgram } from "../layers/onnx/sampler-program.ts"
import { openDecoder } from "../src/model/model-folder.ts"
import { initialAdapter } from "../src/engine/weights/parameters.ts"
import type { SamplerPrecision } from "../src/engine/weights/quantization.ts"
import { hash32 } from "../src/engine/random.ts"
import { plain } from "../src/engine/sampling/sampling.ts"
import type { Parameters } from "../src/engine/weights/tensor.ts"
import { allLinear, modulesOf } from "../src/engine/nets/transformer.ts"
import { quantizedWeights } from "../src/model/quantized-weights.ts"
import type { GgufPrecision } from "./gguf.ts"
import { LlamaMissing } from "./llama-binding.ts"
import { openLlama } from "./llama.ts"
import { median } from "./median.ts"
import { rounds } from "./quiet.ts"
import { qwenShape, writeRandomCheckpoint } from "./trainer.ts"

const context = 256
/** Of each sequence, a round: few, so that rivals take turns more often than a machine changes its speed. */
const newTokens = 24
const lora = { r: 16, alpha: 32, targets: allLinear }
const peerOf: Readonly<Record<SamplerPrecision, GgufPrecision | undefined>> = {
  float32: undefined,
  int8: "Q8_0",
  dynamic_int8: "Q8_0",
  int4: "Q4_0"
}

const rounded = (x: number) => Math.round(x * 100) / 100

/** @param repetitions rounds in which everything is measured once */
export const benchDecoder = async (
  precisions: ReadonlyArray<SamplerPrecision> = ["dynamic_int8", "int8", "int4"],
  repetitions = 5,
  batches: ReadonlyArray<number> = [1, 2, 8, 16],
  prompts: ReadonlyArray<number> = [256, 1024],
  threads = os.availableParallelism()
) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
  try {
    const shape = qwenShape(28)
    writeRandomCheckpoint(folder, shape)
    const checkpoint = await Effect.runPromise(openDecoder(folder))
    const rows: Array<Readonly<Record<string, unknown>>> = []
    const tell = (row: (typeof rows)[number]) => {
      rows.push(row)
      console.error(JSON.stringify(row))
    }
    for (const precision of precisions) {
      const peer = peerOf[precision]
      const llama = peer === undefined ? undefined : await openLlama(peer, { threads }).catch((error: unknown) => {
        if (!(error instanceof LlamaMissing)) throw error
        console.error(error.message)
        return undefined
      })
      const quantized = precision === "float32" ? undefined : await Effect.runPromise(
        quantizedWeights(checkpoint, { precision, cache: path.join(folder, "quantized"), progress: () => Effect.succeed(() => Effect.void) })
      )
      // A token's text is looked up when it was drawn.
      const drawn: Array<number> = []
      const watched = new Proxy<ReadonlyArray<string>>([], {
        get: (_, name) => (/^\d+$/.test(String(name)) ? void drawn.push(performance.now()) : undefined)
      })
      const open = (adapter: boolean, maxNumSeqs: number) =>
        new SamplerProgram({
          checkpoint,
          lora: adapter ? lora : { ...lora, targets: [] },
          quantized,
          measureGap: false,
          maxLength: 1280,
          maxNumSeqs,
          tokenTexts: watched,
          device: "cpu",
          spinning: true,
          threads
        })
      const adapter = initialAdapter(modulesOf(shape), lora, 0)
      const sample = (sampler: SamplerProgram, parameters: Parameters, batch: number, length: number, tokens: number) =>
        sampler.sample({
          prompts: [{
            ids: Array.from({ length }, (_, t) => hash32(t) % shape.vocab),
            seeds: Array.from({ length: batch }, (_, i) => i)
          }],
          parameters,
          options: plain,
          maxNewTokens: tokens,
          stop: "</svg>",
          eosIds: []
        })
      const seconds = async (run: () => Promise<unknown>) => {
        const start = performance.now()
        await run()
        return (performance.now() - start) / 1000
      }
      const none: Parameters = new Map()
      const opened = async (maxNumSeqs: number) => {
        const [bare, adapted] = [open(false, maxNumSeqs), open(true, maxNumSeqs)]
        for (const [sampler, parameters] of [[bare, none], [adapted, adapter]] as const) await sample(sampler, parameters, 1, 32, 2)
        return { bare, adapted, release: async () => void await Promise.all([bare.release(), adapted.release()]) }
      }
      // From the last token of a step to the last of the next: reading the prompt is left out.
      const decode = async (sampler: SamplerProgram, parameters: Parameters, batch: number) => {
        drawn.length = 0
        await sample(sampler, parameters, batch, context, 2 + newTokens)
        const ends = drawn.filter((_, i) => i % batch === batch - 1).slice(1)
        return batch / median(ends.slice(1).map((end, i) => (end - ends[i]!) / 1000))
      }
      for (const batch of batches) {
        const { adapted, bare, release } = await opened(batch)
        const { others, ratio, typical } = await rounds({
          own: () => decode(bare, none, batch),
          lora: () => decode(adapted, adapter, batch),
          // The faster of llama.cpp's two attentions.
          plain: async () => await llama?.decode(batch, context, newTokens, false) ?? NaN,
          flash: async () => await llama?.decode(batch, context, newTokens, true) ?? NaN
        }, repetitions)
        tell({
          precision,
          batch,
          tokensPerSecond: rounded(typical("own")),
          withLora: rounded(typical("lora")),
          loraRatio: rounded(ratio("lora", "own")),
          coresUsedByOthers: rounded(others),
          ...(llama === undefined ? {} : {
            [`llama.cpp ${peer}`]: rounded(Math.max(typical("plain"), typical("flash"))),
            ratio: rounded(Math.min(ratio("own", "plain"), ratio("own", "flash")))
          })
        })
        await release()
      }
      const reader = open(false, 1)
      if (prompts.length > 0) await sample(reader, none, 1, 32, 1)
      for (const length of prompts) {
        const { others, ratio, typical } = await rounds({
          own: async () => length / await seconds(() => sample(reader, none, 1, length, 1)),
          plain: async () => await llama?.prefill(length, false) ?? NaN,
          flash: async () => await llama?.prefill(length, true) ?? NaN
        }, repetitions)
        tell({
          precision,
          prefill: length,
          tokensPerSecond: rounded(typical("own")),
          coresUsedByOthers: rounded(others),
          ...(llama === undefined ? {} : {
            [`llama.cpp ${peer}`]: rounded(Math.max(typical("plain"), typical("flash"))),
            ratio: rounded(Math.min(ratio("own", "plain"), ratio("own", "flash")))
          })
        })
      }
      await reader.release()
      await llama?.close()
    }
    return { rows, rssGigabytes: rounded(process.memoryUsage().rss / 1e9) }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
