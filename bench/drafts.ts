/**
 * Drafts from earlier drawings. The embedded policy: tokens a forward, and a second, beside drawing without drafts. Qwen3-0.6B's shape
 * with random weights in 8 bits: tokens a second where forwards read and keep as many tokens as the embedded policy's did, beside one
 * token a forward in the same round.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { type Asked, type Decoding, DecodingBatch, Sequence } from "../layers/onnx/decoding-batch.ts"
import { SamplerProgram } from "../layers/onnx/sampler-program.ts"
import { createSession } from "../layers/onnx/session.ts"
import { Graph } from "../src/engine/graph/graph.ts"
import { hash32 } from "../src/engine/random.ts"
import { decode, prefill, verify } from "../src/engine/sampling/decoding.ts"
import { Drafts } from "../src/engine/sampling/drafts.ts"
import { plain } from "../src/engine/sampling/sampling.ts"
import { noAdapter } from "../src/engine/weights/parameters.ts"
import { openDecoder } from "../src/model/model-folder.ts"
import { quantizedWeights } from "../src/model/quantized-weights.ts"
import { defaultFormat, openTokenizer, promptIds } from "../src/model/tokenizer/tokenizer.ts"
import { embeddedPrompts } from "../src/prompts.ts"
import { embedded } from "../src/system/installed.ts"
import { rounds } from "./quiet.ts"
import { qwenShape, writeRandomCheckpoint } from "./trainer.ts"

/** Most tokens of a draft. */
const most = 8
const k = 4
const options = { ...plain, minP: 0.05 } // a run's default
const filters = { minP: true }
const rounded = (x: number) => Math.round(x * 100) / 100

/** One forward of a sequence: tokens of its draft, and how many of them were right. */
interface Forward {
  readonly drafted: number
  readonly right: number
}

/** What drafts would have done for each of these, token by token. */
const replayed = (drafts: Drafts, drawings: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<Forward> =>
  drawings.flatMap((ids) => {
    const forwards: Array<Forward> = []
    for (let n = 1; n < ids.length;) {
      const draft = drafts.propose(ids.slice(0, n), ids.length - n - 1)
      const wrong = draft.findIndex((id, t) => id !== ids[n + t])
      const right = wrong < 0 ? draft.length : wrong
      forwards.push({ drafted: draft.length, right })
      n += right + 1
    }
    return forwards
  })

const ofEmbedded = async (threads: number) => {
  const checkpoint = await Effect.runPromise(openDecoder(embedded("policy")))
  const tokenizer = await Effect.runPromise(openTokenizer(embedded("policy")))
  const { train } = embeddedPrompts(0)
  const open = (draftTokens: number) =>
    new SamplerProgram({
      checkpoint, lora: noAdapter, maxLength: 256, maxNumSeqs: 128, filters, draftTokens, tokenTexts: tokenizer.tokenTexts, device: "cpu", spinning: true, threads
    })
  const [one, several] = [open(0), open(most)]
  const call = (first: number, count: number) => ({
    prompts: train.slice(first, first + count).map(({ text }, n) => ({
      ids: promptIds(tokenizer, defaultFormat, text), seeds: Array.from({ length: k }, (_, i) => hash32(first + n, i))
    })),
    parameters: new Map(),
    options,
    maxNewTokens: 160,
    stop: "</svg>",
    eosIds: tokenizer.eosIds
  })
  const completions = (await one.sample(call(0, 256))).flat().map(({ ids }) => ids)
  const history = { key: 0, completions }
  const rows = []
  for (const prompts of [1, 4, 16, 32]) {
    const asked = call(256, prompts)
    const rate = async (work: () => Promise<ReadonlyArray<ReadonlyArray<{ readonly ids: ReadonlyArray<number> }>>>) => {
      const start = performance.now()
      const drawn = await work()
      return drawn.flat().reduce((n, { ids }) => n + ids.length, 0) / (performance.now() - start) * 1000
    }
    await several.sample({ ...asked, history })
    const { others, ratio, typical } = await rounds({
      one: () => rate(() => one.sample(asked)),
      several: () => rate(() => several.sample({ ...asked, history }))
    }, 5)
    rows.push({
      model: "embedded", batch: prompts * k, tokensPerSecond: Math.round(typical("one")), withDrafts: Math.round(typical("several")),
      ratio: rounded(ratio("several", "one")), coresUsedByOthers: rounded(others)
    })
  }
  const forwards = replayed(new Drafts(completions, { most, vocab: checkpoint.config.vocab }), (await one.sample(call(256, 64))).flat().map(({ ids }) => ids))
  await Promise.all([one.release(), several.release()])
  return { rows, forwards }
}

/** Token t of a sequence that begins with this one. */
const foretold = (first: number, t: number, vocab: number): number => (t === 0 ? first : hash32(first, t) % vocab)

/** Draws as any does, but goes on with what is foretold: a random model would not, and in 8 bits not always with what it drew before. */
class Foretold extends Sequence {
  override draw(...args: Parameters<Sequence["draw"]>): void {
    super.draw(...args)
    this.ids.push(foretold(this.seed, this.ids.length - 1, args[0].probabilities!.length))
    this.ids.splice(-2, 1)
  }
}

/** Right or wrong as these forwards were. */
const asIn = (forwards: ReadonlyArray<Forward>, vocab: number): Decoding["drafts"] => {
  let next = 0
  const propose = (ids: ReadonlyArray<number>, room = most): ReadonlyArray<number> => {
    const { drafted, right } = forwards[next++ % forwards.length]!
    return Array.from({ length: Math.min(drafted, room) }, (_, t) => (foretold(ids[0]!, ids.length + t, vocab) + (t < right ? 0 : 1)) % vocab)
  }
  return { propose } as Drafts
}

/** @param batches sequences together */
const of06B = async (forwards: ReadonlyArray<Forward>, batches: ReadonlyArray<number>, repetitions: number, threads: number) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
  try {
    const config = qwenShape(28)
    writeRandomCheckpoint(folder, config)
    const checkpoint = await Effect.runPromise(openDecoder(folder))
    const quantized = await Effect.runPromise(
      quantizedWeights(checkpoint, { precision: "dynamic_int8", cache: path.join(folder, "quantized"), progress: () => Effect.succeed(() => Effect.void) })
    )
    const open = (build: (g: Graph) => void) => {
      const g = new Graph()
      build(g)
      return createSession(g, { device: "cpu", spinning: true, threads, weights: "prepared", weightsFolder: folder })
    }
    const weights = { index: checkpoint.index, trainable: "none", lora: undefined, quantized } as const
    const length = 512
    const sessions = {
      prefill: await open((g) => prefill(g, config, weights, length, filters)),
      decode: await open((g) => decode(g, config, weights, length, filters, true)),
      verify: await open((g) => verify(g, config, weights, length, filters, true))
    }
    const rows = []
    for (const batch of batches) {
      const asked: Asked = { ids: Array.from({ length: 64 }, (_, t) => hash32(t) % config.vocab), options, eosIds: [], stops: [], limit: 400 }
      const begun = async (drafts?: Decoding["drafts"]) => {
        const sequences = Array.from({ length: batch }, (_, seed) => new Foretold(asked, seed))
        const decoding = new DecodingBatch({
          config, prefill: sessions.prefill, decode: drafts === undefined ? sessions.decode : sessions.verify, drafts, filters, parameters: {},
          shared: "held", textOf: () => ""
        })
        await decoding.admit(sequences, [])
        return { decoding, sequences }
      }
      const count = (sequences: ReadonlyArray<Foretold>) => sequences.reduce((n, { ids }) => n + ids.length, 0)
      /** Tokens a second of so many forwards after the first. */
      const rate = async ({ decoding, sequences }: Awaited<ReturnType<typeof begun>>, times: number) => {
        const [before, start] = [count(sequences), performance.now()]
        for (let n = 0; n < times; n++) await decoding.advance()
        return (count(sequences) - before) / (performance.now() - start) * 1000
      }
      const times = 16
      const [one, several] = [await begun(), await begun(asIn(forwards, config.vocab))]
      const [read, kept] = [{ n: 0 }, { n: 0 }]
      const { others, ratio, typical } = await rounds({
        one: () => rate(one, times),
        several: async () => {
          const before = count(several.sequences)
          const value = await rate(several, times)
          read.n += times * batch
          kept.n += count(several.sequences) - before
          return value
        }
      }, repetitions)
      const row = {
        model: "0.6B dynamic_int8", batch, tokensPerSecond: rounded(typical("one")), withDrafts: rounded(typical("several")),
        ratio: rounded(ratio("several", "one")), tokensPerForward: rounded(kept.n / read.n), coresUsedByOthers: rounded(others)
      }
      console.error(JSON.stringify(row))
      rows.push(row)
    }
    await Promise.all(Object.values(sessions).map((session) => session.release()))
    return rows
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

export const benchDrafts = async (batches: ReadonlyArray<number> = [1, 2, 8, 16], repetitions = 3, threads = os.availableParallelism()) => {
  const { forwards, rows } = await ofEmbedded(threads)
  const mean = (of: (forward: Forward) => number) => forwards.reduce((n, forward) => n + of(forward), 0) / forwards.length
  const told = { tokensPerForward: rounded(1 + mean(({ right }) => right)), readPerForward: rounded(1 + mean(({ drafted }) => drafted)) }
  for (const row of [told, ...rows]) console.error(JSON.stringify(row))
  return { ...told, rows: [...rows, ...await of06B(forwards, batches, repetitions, threads)] }
}
