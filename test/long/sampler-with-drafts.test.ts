/** Drafts change how fast tokens are drawn, not which. */
import * as path from "node:path"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import { type SampleCall, type Sampled, SamplerProgram, type SamplerSpec } from "../../layers/onnx/sampler-program.ts"
import { hash32 } from "../../src/engine/random.ts"
import { plain, type SamplingOptions } from "../../src/engine/sampling/sampling.ts"
import { defaultFormat, promptIds } from "../../src/model/tokenizer/tokenizer.ts"
import { quantizedWeights } from "../../src/model/quantized-weights.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { checkpoint, lora, parameters, tokenizer } from "../support/embedded-policy.ts"

const work = scratchFolder("drafts-in-few-bits")
const texts = ["a red circle", "a blue square over a green one"]
const call = (firstSeed: number, options: SamplingOptions = plain, changes: Partial<SampleCall> = {}): SampleCall => ({
  prompts: texts.map((text, n) => ({ ids: promptIds(tokenizer, defaultFormat, text), seeds: [0, 1, 2].map((i) => firstSeed + 10 * n + i) })),
  parameters,
  options,
  maxNewTokens: 48,
  stop: "</svg>",
  eosIds: tokenizer.eosIds,
  ...changes
})
const spec: SamplerSpec = {
  checkpoint, lora, maxLength: 160, maxNumSeqs: 6, tokenTexts: tokenizer.tokenTexts, filters: { minP: true }, device: "cpu", threads: 1
}

/** Draws all of them with one sampler. */
const drawn = async (calls: ReadonlyArray<SampleCall>, changes: Partial<SamplerSpec> = {}) => {
  const sampler = new SamplerProgram({ ...spec, ...changes })
  const all: Array<ReadonlyArray<Sampled>> = []
  for (const one of calls) all.push((await sampler.sample(one)).flat())
  await sampler.release()
  return all
}

/** The same tokens for the same reason; log-probabilities but for the last bits of another shape of forward. */
const same = (some: ReadonlyArray<Sampled>, others: ReadonlyArray<Sampled>, what?: string) => {
  const tokens = (all: ReadonlyArray<Sampled>) => all.map(({ finish, ids }) => ({ finish, ids }))
  assert.deepStrictEqual(tokens(some), tokens(others), what)
  some.forEach(({ drawnLogps = [], logps }, i) => {
    logps.forEach((logp, t) => assert.closeTo(logp, others[i]!.logps[t]!, 1e-5, what))
    drawnLogps.forEach((logp, t) => assert.closeTo(logp, others[i]!.drawnLogps![t]!, 1e-5, what))
  })
}

const perForward = (all: ReadonlyArray<Sampled>): number =>
  all.reduce((n, { ids }) => n + ids.length, 0) / all.reduce((n, { forwards = 0 }) => n + forwards, 0)

const [earlier] = await drawn([call(1000)])
const own = earlier!.map(({ ids }) => ids)

describe("drafts", () => {
  const ways: Readonly<Record<string, SamplingOptions>> = {
    plain,
    "temperature 1.3": { ...plain, temperature: 1.3 },
    "min_p": { ...plain, temperature: 0.8, minP: 0.05 },
    "top_p": { ...plain, topP: 0.9 },
    "top_k and a repetition penalty": { ...plain, topK: 20, repetitionPenalty: 1.2 },
    greedy: { ...plain, temperature: 0 }
  }

  it.each([{ sharePrompts: false }, { sharePrompts: true, maxNumSeqs: 4 }])("every way of drawing draws the same tokens, in fewer forwards (%o)", async (changes) => {
    const alone = await drawn(Object.values(ways).map((options) => call(0, options)), changes)
    const history = { key: 1, completions: own }
    const drafted = await drawn(Object.values(ways).map((options) => call(0, options, { history })), { draftTokens: 5, ...changes })
    Object.keys(ways).forEach((way, n) => {
      same(drafted[n]!, alone[n]!, way)
      assert.isAbove(perForward(drafted[n]!), 1.1, way)
    })
  }, 60_000)

  it("a history of nonsense changes nothing", async () => {
    const { vocab } = checkpoint.config
    const nonsense = {
      empty: [[], []],
      random: Array.from({ length: 50 }, (_, n) => Array.from({ length: 40 }, (_, t) => hash32(n, t) % vocab)),
      "longer than any sequence": [Array.from({ length: 5000 }, (_, t) => own[0]![t % own[0]!.length]!)],
      "no tokens": [[vocab], [-1], [0.5], [NaN], [2 ** 40], own[1]!],
      "the end at once": [tokenizer.eosIds]
    }
    const [alone] = await drawn([call(0)])
    const drafted = await drawn(Object.values(nonsense).map((completions, key) => call(0, plain, { history: { key, completions } })), { draftTokens: 200 })
    Object.keys(nonsense).forEach((name, n) => same(drafted[n]!, alone!, name))
  }, 60_000)

  it("without a history a token is a forward, and limits, stops and broken XML end a sequence at the same token", async () => {
    const stops = [{ maxNewTokens: 1 }, { maxNewTokens: 2 }, { maxNewTokens: 7 }, { stop: "/>" }, { wellFormedAfter: defaultFormat.prefill }, { eosIds: [own[0]![9]!] }]
    const alone = await drawn(stops.map((changes) => call(0, plain, changes)))
    const [none] = await drawn([call(0)], { draftTokens: 4 })
    none!.forEach(({ forwards, ids }) => assert.strictEqual(forwards, ids.length))
    assert.isUndefined(alone[0]![0]!.forwards)
    // What will be drawn is the history: nearly all of it is drafted right.
    const history = { key: 1, completions: none!.map(({ ids }) => ids) }
    const drafted = await drawn(stops.map((changes) => call(0, plain, { ...changes, history })), { draftTokens: 8 })
    stops.forEach((stop, n) => same(drafted[n]!, alone[n]!, JSON.stringify(stop)))
  }, 60_000)

  it.each(["int8", "int4", "dynamic_int8"] as const)("weights in %s are read several tokens at a time too", async (precision) => {
    const cache = path.join(work, precision)
    const quantized = await Effect.runPromise(quantizedWeights(checkpoint, { precision, cache, progress: () => Effect.succeed(() => Effect.void) }))
    const changes = { quantized, measureGap: false, sharePrompts: true }
    const [alone] = await drawn([call(0)], changes)
    const history = { key: 1, completions: alone!.map(({ ids }) => ids) }
    const [drafted] = await drawn([call(0, plain, { history })], { ...changes, draftTokens: 5 })
    assert.isAbove(perForward(drafted!), 1.5)
    // Activations are rounded to 8 bits: a last bit may become a step of them, and another token.
    let compared = 0
    drafted!.forEach(({ ids, logps }, i) => {
      const own = alone![i]!
      for (let t = 0; t < ids.length && ids[t] === own.ids[t]; t++, compared++) assert.closeTo(logps[t]!, own.logps[t]!, 0.05)
    })
    assert.isAbove(compared, 100)
  }, 60_000)
})
