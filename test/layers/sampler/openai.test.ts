/** Servers as a sampler: our own `serve` over a socket. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import * as SamplerOnnx from "../../../layers/sampler/onnx.ts"
import * as SamplerOpenAI from "../../../layers/sampler/openai.ts"
import { plain } from "../../../src/engine/sampling/sampling.ts"
import { promptOf } from "../../../src/prompts.ts"
import { Sampler, type SampleRequest } from "../../../src/stages/Sampler.ts"
import { samplerContract } from "../../stages/Sampler.contract.ts"
import { sampling } from "../../support/embedded-policy.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { lora, served, trained } from "../../support/served.ts"

const work = scratchFolder("sampler-openai")
const state = served(work)
const policy = { version: 2, parameters: trained(7) }
const runtime = OnnxRuntime.layer("cpu", 0, { threads: 1 })

/** Two lives of a layer are two runs: the second one would clear what the first one left. */
let runs = 0
const openai = (changes: Partial<SamplerOpenAI.SamplerOpenAIOptions> = {}) =>
  Layer.unwrap(Effect.sync(() => SamplerOpenAI.layer({ ...sampling, lora, run: `a run ${runs++}`, urls: [state.url], adapters: state.folder, ...changes }))).pipe(Layer.provide(runtime))
const local = (changes: Partial<SamplerOnnx.SamplerOnnxOptions> = {}) =>
  SamplerOnnx.layer({ ...sampling, lora, maxNumSeqs: 64, precision: "float32", cache: work, ...changes }).pipe(Layer.provide(runtime))

samplerContract("openai, our own serve", openai(), policy, 1e-4)

const prompts = ["a pelican", "a red cat riding a blue bicycle", "three green stars", "a fish"].map(promptOf)
const request: SampleRequest = { step: 5, prompts, k: 4, seed: 3, policy }
const drawn = <E>(layer: Layer.Layer<Sampler, E>, changes: Partial<SampleRequest> = {}) =>
  Effect.map(Effect.provide(Sampler.use((sampler) => sampler.sample({ ...request, ...changes })), layer), (groups) => groups.flat())

describe("our own serve", () => {
  for (const options of [plain, { ...plain, minP: 0.05 }, { ...plain, temperature: 0.7, topP: 0.9 }]) {
    it.live(`draws what the local sampler draws, with ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const [here, there] = [yield* drawn(local({ sampling: options })), yield* drawn(openai({ sampling: options }))]
        here.forEach((candidate, n) => {
          const { completionIds, drawnLogps, finish, logps, seed, svg } = there[n]!
          assert.deepStrictEqual([completionIds, finish, seed, svg], [candidate.completionIds, candidate.finish, candidate.seed, candidate.svg])
          const near = (a: ReadonlyArray<number> = [], b: ReadonlyArray<number> = []) => {
            assert.strictEqual(a.length, b.length)
            a.forEach((x, i) => assert.closeTo(x, b[i]!, 1e-4))
          }
          near(logps, candidate.logps)
          near(drawnLogps, candidate.drawnLogps)
        })
      }))
  }
})
