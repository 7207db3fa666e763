/**
 * `vequinox serve` beside its bare sampler: tokens a second of 64 clients, who send one request after the other, and of as many
 * completions given to the sampler at once, in the same places. The server is a process of its own, with one thread for its model.
 */
import { spawn } from "node:child_process"
import * as path from "node:path"
import { Effect } from "effect"
import { SamplerProgram } from "../layers/onnx/sampler-program.ts"
import { plain } from "../src/engine/sampling/sampling.ts"
import { noAdapter } from "../src/engine/weights/parameters.ts"
import { openDecoder } from "../src/model/model-folder.ts"
import { defaultFormat, openTokenizer, promptIds } from "../src/model/tokenizer/tokenizer.ts"
import { embeddedPrompts } from "../src/prompts.ts"
import { completionSeed } from "../src/stages/Completions.ts"
import { embedded } from "../src/system/installed.ts"
import { median } from "./median.ts"

const clients = 64
const requestsAClient = 6
const rounds = 3

export const benchServe = async () => {
  const checkpoint = await Effect.runPromise(openDecoder(embedded("policy")))
  const tokenizer = await Effect.runPromise(openTokenizer(embedded("policy")))
  const prompts = embeddedPrompts(0).train.slice(0, clients * requestsAClient).map(({ text }) => text)
  const sampler = new SamplerProgram({
    checkpoint, lora: noAdapter, maxLength: checkpoint.config.maxPositions, maxNumSeqs: clients, tokenTexts: tokenizer.tokenTexts, device: "cpu", threads: 1, spinning: true
  })
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "../src/main.ts"), "serve", "--port", "0", "--json", "--threads", "1", "--max-num-seqs", String(clients)], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  process.once("exit", () => child.kill()) // whatever ends the benchmark
  const url = await new Promise<string>((resolve) => child.stdout.once("data", (part) => resolve(JSON.parse(String(part)).url)))

  const alone = async (): Promise<number> => {
    const groups = await sampler.sample({
      prompts: prompts.map((prompt, n) => ({ ids: promptIds(tokenizer, defaultFormat, prompt), seeds: [completionSeed(n, 0)] })),
      parameters: new Map(), options: plain, maxNewTokens: checkpoint.config.maxPositions, stop: "</svg>", eosIds: tokenizer.eosIds
    })
    return groups.flat().reduce((sum, { ids }) => sum + ids.length, 0)
  }
  const served = async (stream: boolean): Promise<number> => {
    const tokens = await Promise.all(Array.from({ length: clients }, async (_, client) => {
      let drawn = 0
      for (let count = 0; count < requestsAClient; count++) {
        const n = client * requestsAClient + count
        const response = await fetch(`${url}/v1/chat/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ messages: [{ role: "user", content: prompts[n] }], seed: n, stream, stream_options: { include_usage: true } })
        })
        const text = await response.text()
        drawn += Number(/"completion_tokens":(\d+)/.exec(text)![1])
      }
      return drawn
    }))
    return tokens.reduce((a, b) => a + b, 0)
  }
  const rate = async (draw: () => Promise<number>): Promise<number> => {
    const start = performance.now()
    return await draw() / (performance.now() - start) * 1000
  }
  const ways = { alone, whole: () => served(false), streamed: () => served(true) }
  const rates: Record<keyof typeof ways, Array<number>> = { alone: [], whole: [], streamed: [] }
  const counts = new Set<number>()
  for (let round = 0; round <= rounds; round++) {
    for (const name of Object.keys(ways) as ReadonlyArray<keyof typeof ways>) {
      const found = await rate(async () => {
        const tokens = await ways[name]()
        counts.add(tokens)
        return tokens
      })
      if (round > 0) rates[name].push(found)
    }
  }
  child.kill("SIGINT")
  await sampler.release()
  const of = (name: keyof typeof ways) => median(rates[name])
  const ratio = (name: keyof typeof ways) => Math.round(100 * of(name) / of("alone")) / 100
  return {
    clients,
    tokensARound: [...counts],
    tokensPerSecond: { alone: Math.round(of("alone")), whole: Math.round(of("whole")), streamed: Math.round(of("streamed")) },
    ratioToSampler: { whole: ratio("whole"), streamed: ratio("streamed") }
  }
}
