/** The embedded policy's sampler: tokens a second by batch size, K = 4 candidates a prompt, tokens that nobody stops. */
import * as os from "node:os"
import { Effect } from "effect"
import { SamplerProgram } from "../layers/onnx/sampler-program.ts"
import { openDecoder } from "../src/model/model-folder.ts"
import { embedded } from "../src/system/installed.ts"
import { plain } from "../src/engine/sampling/sampling.ts"
import { noAdapter } from "../src/engine/weights/parameters.ts"
import { embeddedPrompts } from "../src/prompts.ts"
import { defaultFormat, openTokenizer, promptIds } from "../src/model/tokenizer/tokenizer.ts"
import { median } from "./median.ts"

const k = 4
const newTokens = 64

export const benchSampler = async (threads = os.availableParallelism()) => {
  const checkpoint = await Effect.runPromise(openDecoder(embedded("policy")))
  const tokenizer = await Effect.runPromise(openTokenizer(embedded("policy")))
  const { train } = embeddedPrompts(0)
  const sampler = new SamplerProgram({
    checkpoint,
    lora: noAdapter,
    maxLength: 256,
    maxNumSeqs: 128,
    tokenTexts: [],
    device: "cpu",
    spinning: true,
    threads
  })
  const rows = []
  for (const prompts of [1, 4, 16, 32]) {
    const call = {
      prompts: train.slice(0, prompts).map(({ text }, n) => ({
        ids: promptIds(tokenizer, defaultFormat, text),
        seeds: Array.from({ length: k }, (_, i) => n * k + i)
      })),
      parameters: new Map(),
      options: plain,
      maxNewTokens: newTokens,
      stop: "</svg>",
      eosIds: []
    }
    await sampler.sample(call)
    const rates: Array<number> = []
    for (let i = 0; i < 5; i++) {
      const start = performance.now()
      const tokens = (await sampler.sample(call)).flat().reduce((n, { ids }) => n + ids.length, 0)
      rates.push(tokens / (performance.now() - start) * 1000)
    }
    rows.push({ batch: prompts * k, tokensPerSecond: Math.round(median(rates)) })
  }
  await sampler.release()
  const alone = rows[0]!.tokensPerSecond
  return rows.map((row) => ({ ...row, ratioToSmallestBatch: Math.round(100 * row.tokensPerSecond / alone) / 100 }))
}
