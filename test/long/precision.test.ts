/** The sampler's settings: weights in few bits, places that are filled again, drawings that are given up. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as SamplerOnnx from "../../layers/sampler/onnx.ts"
import type { Candidate } from "../../src/domain.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { quantizedShapes } from "../../src/engine/weights/quantization.ts"
import { gaussian, random } from "../../src/engine/random.ts"
import { copyParameters } from "../../src/engine/weights/tensor.ts"
import { modulesOf } from "../../src/engine/nets/transformer.ts"
import { promptOf } from "../../src/prompts.ts"
import { quantizedWeights } from "../../src/model/quantized-weights.ts"
import { Sampler, type SampleRequest } from "../../src/stages/Sampler.ts"
import { checkpoint, parameters, sampling } from "../support/embedded-policy.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("test")

const prompts = ["a pelican", "a red cat riding a blue bicycle", "three green stars", "a fish"].map(promptOf)
const layerOf = (changes: Partial<SamplerOnnx.SamplerOnnxOptions>) =>
  SamplerOnnx.layer({
    ...sampling,
    maxNumSeqs: 12,
    precision: "float32",
    cache: work,
    ...changes
  }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))
const drawn = (changes: Partial<SamplerOnnx.SamplerOnnxOptions> = {}, asked: Pick<SampleRequest, "form" | "temperature"> = {}) =>
  Sampler.use((sampler) => sampler.sample({ step: 0, prompts, k: 3, seed: 5, policy: { version: 0, parameters }, ...asked })).pipe(
    Effect.map((groups) => groups.flat()),
    Effect.provide(layerOf(changes))
  )
const svgs = (candidates: ReadonlyArray<Candidate>) => candidates.map(({ svg }) => svg)

describe("places in the batch", () => {
  it.live("that are fewer than the candidates change nothing of what is drawn", () =>
    Effect.gen(function*() {
      const together = yield* drawn()
      assert.isAbove(new Set(together.map(({ completionIds }) => completionIds.length)).size, 3, "they end at different times")
      for (const maxNumSeqs of [1, 2, 5]) assert.deepStrictEqual(svgs(yield* drawn({ maxNumSeqs })), svgs(together))
    }))
})

describe("weights in few bits", () => {
  for (const [precision, most] of [["int8", 0.05], ["int4", 1], ["dynamic_int8", 0.05]] as const) {
    it.live(`${precision}: the gap to the weights as they are is measured on one candidate of a call`, () =>
      Effect.gen(function*() {
        const candidates = yield* drawn({ precision })
        const measured = candidates.filter(({ exactLogps }) => exactLogps !== undefined)
        assert.strictEqual(measured.length, 1)
        const { exactLogps, logps } = measured[0]!
        const gaps = logps.map((logp, i) => Math.abs(logp - exactLogps![i]!))
        const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length
        assert.isAbove(mean, 1e-5, "fewer bits are something else")
        assert.isBelow(mean, most)
      }))
  }

  it.live("go with the adapter of each call, whichever was before", () =>
    Effect.gen(function*() {
      const adapterOf = (seed: number) =>
        new Map([...parameters].map(([name, { data, shape }], n) => [name, { shape, data: data.map((_, i) => gaussian(random(seed, n, i)) / 8) }]))
      const [one, other] = [adapterOf(1), adapterOf(2)]
      const given = yield* Effect.forEach([one, other, other, one], (parameters, n) =>
        // What is fed is the caller's again once the call is over.
        Effect.gen(function*() {
          const fed = copyParameters(parameters)
          const [group] = yield* Sampler.use((sampler) =>
            sampler.sample({ step: 0, prompts: prompts.slice(0, 1), k: 1, seed: 5, policy: { version: n, parameters: fed } })
          )
          fed.forEach(({ data }) => data.fill(0))
          return group![0]!
        })).pipe(Effect.provide(layerOf({ precision: "int8" })))
      const [first, second, same, again] = given.map(({ logps }) => logps)
      assert.deepStrictEqual(again, first)
      assert.deepStrictEqual(same, second)
      assert.isAbove(Math.abs(first![0]! - second![0]!), 1e-3)
      for (const { exactLogps, logps } of given) {
        assert.isBelow(Math.max(...logps.map((logp, i) => Math.abs(logp - exactLogps![i]!))), 0.3)
      }
    }))

  it.live("float32 has no gap to measure", () =>
    Effect.gen(function*() {
      assert.isTrue((yield* drawn()).every(({ exactLogps }) => exactLogps === undefined))
    }))

  it.live("are made once, and again when the file is not there", () =>
    Effect.gen(function*() {
      const cache = path.join(work, "once")
      const told: Array<number> = []
      const make = quantizedWeights(checkpoint, {
        precision: "int8",
        cache,
        progress: (total) => Effect.sync(() => (done: number) => Effect.sync(() => void told.push(done / total)))
      })
      const { index } = yield* make
      assert.strictEqual(told.at(-1), 1)
      assert.deepStrictEqual(told, told.toSorted((a, b) => a - b))
      const [file, ...others] = fs.readdirSync(cache)
      assert.deepStrictEqual(others, [])
      for (const { in: width, module, out } of modulesOf(checkpoint.config)) {
        assert.deepStrictEqual(index.get(`${module}.weight.values`)!.shape, quantizedShapes("int8", out, width).values)
      }
      const bytes = fs.readFileSync(path.join(cache, file!))
      told.length = 0
      yield* make
      assert.deepStrictEqual(told, [])
      fs.rmSync(path.join(cache, file!))
      yield* make
      assert.isTrue(fs.readFileSync(path.join(cache, file!)).equals(bytes))
    }))

  it.live("a cache that cannot be written is one sentence, and leaves nothing", () =>
    Effect.gen(function*() {
      const file = path.join(work, "file")
      fs.writeFileSync(file, "")
      const error = yield* Effect.flip(drawn({ precision: "int4", cache: path.join(file, "cache") }))
      assert.match((error as Error).message, /^The int4 weights cannot be kept in .*: a part of its path is a file\.$/)
    }))

  it.live("a whole set of parameters is sampled in float32 only", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(drawn({ precision: "int8", lora: undefined }))
      assert.match((error as Error).message, /^--sampler-precision int8 needs an adapter/)
    }))
})

describe.each([
  { temperature: 0.7, minP: 0.05 },
  { topP: 0.9 },
  { temperature: 0.8, topP: 0.95, minP: 0.02 }
])("drawn with %j", (changed) => {
  it.live("from the graph's probabilities: tokens and log-probabilities as by the rule from logits", () =>
    Effect.gen(function*() {
      const inGraph = yield* drawn({ sampling: { ...plain, ...changed } })
      const inCode = yield* drawn({ sampling: { ...plain, ...changed, topK: 1e6 } }) // a filter that keeps everything
      const sum = (all?: ReadonlyArray<number>) => all!.reduce((a, b) => a + b, 0)
      inGraph.forEach(({ completionIds, drawnLogps, logps }, n) => {
        assert.deepStrictEqual(completionIds, inCode[n]!.completionIds)
        assert.approximately(sum(logps), sum(inCode[n]!.logps), 1e-4)
        assert.approximately(sum(drawnLogps), sum(inCode[n]!.drawnLogps), 1e-4)
        assert.notStrictEqual(sum(drawnLogps), sum(logps))
      })
    }))
})

describe("a request's own temperature", () => {
  it.live("draws from the policy, whatever filters the sampler has", () =>
    Effect.gen(function*() {
      for (const temperature of [1, 0.5]) {
        const whole = yield* drawn({ sampling: { ...plain, temperature } })
        for (const filter of [{ minP: 0.2 }, { topK: 2 }]) {
          const filtered = { ...plain, temperature: 0.9, ...filter }
          assert.deepStrictEqual(svgs(yield* drawn({ sampling: filtered }, { temperature })), svgs(whole))
          assert.notDeepEqual(svgs(yield* drawn({ sampling: filtered })), svgs(whole))
        }
      }
    }))
})

describe("a request's own form", () => {
  it.live("puts another question, begins and ends the answer otherwise, and says how much room there is", () =>
    Effect.gen(function*() {
      const usual = yield* drawn({})
      const own = { promptTemplate: "what is {prompt}?", prefill: sampling.format.prefill, stop: ">" } // the first tag ends it
      const asked = yield* drawn({}, { form: own })
      assert.notDeepEqual(asked[0]!.promptIds, usual[0]!.promptIds)
      const stopped = asked.filter(({ finish }) => finish === "stop")
      assert.isAbove(stopped.length, 0)
      for (const { completionIds, svg } of stopped) {
        const last = sampling.tokenizer.tokenTexts[completionIds.at(-1)!]!
        assert.include(last, own.stop)
        assert.notInclude(svg.slice(own.prefill.length, -last.length), own.stop)
      }
      const critic = { ...own, prefill: "{\"score\":" }
      for (const { svg } of yield* drawn({}, { form: critic })) assert.isTrue(svg.startsWith(critic.prefill))
      yield* Effect.gen(function*() {
        const { room } = yield* Sampler
        assert.strictEqual(yield* room!(prompts[0]!, own), sampling.maxLength - asked[0]!.promptIds.length)
        assert.isBelow(yield* room!(promptOf("very ".repeat(2000)), own), 1)
      }).pipe(Effect.provide(layerOf({})))
    }))
})

describe("drawings that can no longer become well-formed", () => {
  it.live("end at once when asked for, and never otherwise", () =>
    Effect.gen(function*() {
      const sampling = { ...plain, temperature: 1.6 }
      const whole = yield* drawn({ sampling })
      const watched = yield* drawn({ sampling, stopMalformed: true })
      const given = watched.filter(({ finish }) => finish === "malformed")
      assert.isAbove(given.length, 0)
      assert.isTrue(whole.every(({ finish }) => finish !== "malformed"))
      watched.forEach((candidate, n) => {
        assert.isTrue(whole[n]!.svg.startsWith(candidate.svg.slice(0, -3)), "up to there nothing is different")
        if (candidate.finish !== "malformed") assert.strictEqual(candidate.svg, whole[n]!.svg)
      })
    }))
})
