/** vLLM and SGLang as samplers, by their documented answers and every fault of such servers: no candidate is of an unknown policy. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { afterAll } from "vitest"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as SamplerOpenAI from "../../layers/sampler/openai.ts"
import type { Candidate } from "../../src/domain.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import { promptOf } from "../../src/prompts.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { Sampler, type SamplerFailed, type SampleRequest } from "../../src/stages/Sampler.ts"
import { sameCandidates, samplerContract } from "../stages/Sampler.contract.ts"
import { sampling } from "../support/embedded-policy.ts"
import { drawing, type Fault, type SamplingServerOptions, startSamplingServer } from "../support/sampling-server.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { lora, trained } from "../support/served.ts"

const work = scratchFolder("sampling-servers")
const model = drawing(work)
afterAll(() => model.dispose())
const policies = [0, 1, 2, 3, 4].map((version): PolicySnapshot => ({ version, parameters: trained(version) }))
const prompts = ["a pelican", "a fish", "three green stars"].map(promptOf)

const server = (options: SamplingServerOptions = {}) =>
  Effect.acquireRelease(Effect.promise(() => startSamplingServer(model, options)), ({ close }) => Effect.promise(close))
type Server = Effect.Success<ReturnType<typeof server>>

let runs = 0
const layerOf = (servers: ReadonlyArray<Pick<Server, "url">>, changes: Partial<SamplerOpenAI.SamplerOpenAIOptions> = {}) =>
  SamplerOpenAI.layer({
    ...sampling, lora, maxNewTokens: 16, run: `run ${runs++}`, urls: servers.map(({ url }) => url), adapters: path.join(work, "adapters"), timeout: 20, backoff: 0.02, ...changes
  }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))

const sample = (changes: Partial<SampleRequest> = {}) =>
  Effect.map(Sampler.use((sampler) => sampler.sample({ step: 0, prompts, k: 1, seed: 1, policy: policies[1]!, ...changes })), (groups) => groups.flat())
/** Which candidates are compared depends on which servers drew. */
const same = (candidates: ReadonlyArray<Candidate>, others: ReadonlyArray<Candidate>) => {
  const bare = (all: ReadonlyArray<Candidate>) => all.map((candidate) => ({ ...candidate, exactLogps: [] }) as Candidate)
  sameCandidates(bare(candidates), bare(others), 1e-4)
}
const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.flip(effect), (error) => error as unknown as SamplerFailed)
const oneSentence = ({ message }: SamplerFailed) => {
  assert.notInclude(message, "\n")
  assert.isTrue(message.endsWith("."), message)
}

for (const engine of ["vllm", "sglang"] as const) {
  const shared = Effect.runPromise(Effect.promise(() => startSamplingServer(model, { engine })))
  afterAll(async () => (await shared).close())
  samplerContract(`openai, ${engine}'s API`, Layer.unwrap(Effect.map(Effect.promise(() => shared), (server) => layerOf([server]))), policies[2]!, 1e-4)
}

/** Without faults, of versions 1 and 2. */
const honest = await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const one = yield* server()
  return yield* Effect.all([sample(), sample({ policy: policies[2]! })]).pipe(Effect.provide(layerOf([one])))
})))

describe("a fault", () => {
  it("shows only if two versions draw different things", () => {
    assert.throws(() => same(honest[0], honest[1]))
  })

  const mended: ReadonlyArray<Fault> = ["429", "503", "500", "reset", "truncated", "html", "empty", "base", "restart", "stray", "short", "aborted", "no-logprobs"]
  for (const engine of ["vllm", "sglang"] as const) {
    it.live(`of every kind, from ${engine}: what is handed on is what an honest server drew`, () =>
      Effect.gen(function*() {
        const own = mended.filter((fault) => engine === "vllm" || (fault !== "base" && fault !== "short"))
        const one = yield* server({ engine, faults: own.flatMap((fault) => [undefined, undefined, fault]) })
        yield* Effect.gen(function*() {
          const reference = engine === "vllm" ? honest[0]! : yield* sample()
          for (const _ of own) same(yield* sample(), reference)
        }).pipe(Effect.provide(layerOf([one])))
      }).pipe(Effect.scoped))
  }

  it.live("an answer that does not come is given up, and asked for again", () =>
    Effect.gen(function*() {
      const one = yield* server({ faults: [undefined, "slow"] })
      same(yield* Effect.provide(sample(), layerOf([one], { timeout: 2 })), honest[0])
    }).pipe(Effect.scoped))

  it.live("a name that the base always answers, however often its adapter is loaded: refused, and nothing is handed on", () =>
    Effect.gen(function*() {
      const one = yield* server({ always: "base" })
      const error = yield* failure(Effect.provide(sample(), layerOf([one])))
      assert.strictEqual(error.kind, "unknown")
      assert.match(error.message, /^The sampling server at http.* does not answer under the adapter run-\d+-\w{6}-v1-\w{8}: it answered as "models\/policy" when .* was asked, though it was loaded 5 times\. /)
      oneSentence(error)
    }).pipe(Effect.scoped))

  it.live("other log-probabilities than the trainer's are refused before a candidate is handed on, after a restart too", () =>
    Effect.gen(function*() {
      for (const faults of [["wrong-logprobs"], ["restart", "wrong-logprobs"]] as const) {
        const one = yield* server({ faults: [...faults] })
        const error = yield* failure(Effect.provide(sample({ prompts: prompts.slice(0, 1), k: 1 }), layerOf([one])))
        assert.strictEqual(error.kind, "disagrees")
        assert.match(error.message, /other log-probabilities under .* than the trainer does: 0\.400 nats a token apart, and 0\.05 are allowed \(--sampler-tolerance\)/)
      }
      const one = yield* server({ always: "wrong-logprobs" })
      const candidates = yield* Effect.provide(sample({ k: 1 }), layerOf([one], { tolerance: 0.5 }))
      const { exactLogps, logps } = candidates.find(({ exactLogps }) => exactLogps !== undefined)! // for the step's metric
      assert.closeTo(exactLogps![0]! - logps[0]!, 0.4, 1e-3)
    }).pipe(Effect.scoped))

  it.live("that stays, such as nonsense for ever or a key that is refused, ends in one sentence without the key", () =>
    Effect.gen(function*() {
      const key = "sk-a-secret-of-the-sampler"
      const nonsense = yield* failure(Effect.provide(sample({ prompts: prompts.slice(0, 1), k: 1 }), layerOf([yield* server({ always: "html" })])))
      assert.match(nonsense.message, /its answer cannot be used: it is not a completion with log-probabilities, 5 times in a row\.$/)
      const keyed = yield* server({ key })
      same(yield* Effect.provide(sample(), layerOf([keyed], { apiKey: Redacted.make(key) })), honest[0])
      const other = yield* failure(Effect.provide(sample(), layerOf([keyed], { apiKey: Redacted.make(`${key}-too`) })))
      assert.match(other.message, /\(401: Unauthorized: Bearer …\): check VEQUINOX_SAMPLER_API_KEY\.$/)
      for (const error of [nonsense, other]) oneSentence(error)
    }).pipe(Effect.scoped))
})

describe("several servers", () => {
  it.live("share the work; one that asks for later requests is left alone for as long as it says", () =>
    Effect.gen(function*() {
      const servers = [yield* server({ latency: 20 }), yield* server({ latency: 20, faults: ["429"], retryAfter: 4 })] as const
      yield* Effect.gen(function*() {
        for (const _ of [0, 1]) same(yield* sample(), honest[0])
        /** When it was asked, ms after it asked for later requests; those that were under way by then may come a while after. */
        const since = () => servers[1].asked.map(({ at }) => at - servers[1].asked[0]!.at)
        for (let n = 0; n < 40 && since().at(-1)! < 3900; n++) {
          yield* Effect.sleep(250)
          same(yield* sample(), honest[0])
        }
        assert.isAtLeast(since().at(-1)!, 3900, "it is asked again")
        assert.deepStrictEqual(since().filter((ms) => ms > 1500 && ms < 3900), [], "asked too early")
        assert.isAbove(servers[0].asked.length, 3)
      }).pipe(Effect.provide(layerOf(servers)))
    }).pipe(Effect.scoped))

  it.live("never have more under way than they may", () =>
    Effect.gen(function*() {
      const servers = [yield* server({ latency: 10 }), yield* server({ latency: 10 })]
      yield* Effect.provide(sample({ k: 4 }), layerOf(servers, { maxNumSeqs: 2 }))
      for (const { asked, mostOpen } of servers) assert.deepStrictEqual([mostOpen(), asked.length > 2], [2, true])
    }).pipe(Effect.scoped))

  it.live("of which one dies: it is left out, told, and asked again once it is back without its adapters", () =>
    Effect.gen(function*() {
      const notes: Array<string> = []
      const [one, dies] = [yield* server(), yield* server()]
      yield* Effect.gen(function*() {
        same(yield* sample(), honest[0])
        yield* Effect.promise(dies.close)
        for (const _ of [0, 1]) same(yield* sample({ policy: policies[2]! }), honest[1])
        const back = yield* server({ port: dies.port })
        for (let n = 0; n < 40 && back.asked.length === 0; n++) {
          same(yield* sample(), honest[0])
          yield* Effect.sleep(100)
        }
        assert.isAbove(back.asked.length, 0)
        assert.lengthOf(back.loaded, 1)
      }).pipe(Effect.provide(layerOf([one, dies], { note: (line) => Effect.sync(() => void notes.push(line)) })))
      assert.match(notes[0]!, /^The sampling server at .* (cannot be reached|broke off its answer) \(.*\); it is left out, and asked again later\.$/)
      assert.match(notes[1]!, /is back\.$/)
    }).pipe(Effect.scoped))

  it.live("of which none answers for too long: one sentence that says what to do", () =>
    Effect.gen(function*() {
      const gone = yield* Effect.scoped(server())
      const error = yield* failure(Effect.provide(sample(), layerOf([gone, gone], { patience: 1.2 })))
      assert.strictEqual(error.kind, "unreachable")
      assert.match(error.message, /^No sampling server has answered for 1\.2 s; the last one: the sampling server at .* cannot be reached .* Start them again, then resume the run\.$/)
    }))
})

describe("adapters", () => {
  it.live("get a name for each version that is never used again; old ones are unloaded, and nothing is left behind", () =>
    Effect.gen(function*() {
      const one = yield* server()
      const folder = path.join(work, "names")
      yield* Effect.gen(function*() {
        for (const policy of [...policies, { ...policies[0]!, version: 4 }]) {
          yield* sample({ policy })
          assert.include(one.held(), one.loaded.at(-1))
          assert.isAtMost(one.held().length, 2)
        }
        assert.strictEqual(new Set(one.loaded).size, 6)
        assert.deepStrictEqual(one.loaded.map((name) => /-v(\d)-[0-9a-f]{8}$/.exec(name)![1]), ["0", "1", "2", "3", "4", "4"])
        assert.isAtMost(fs.readdirSync(folder).length, 4)
        yield* sample({ policy: policies[0]! }) // as an evaluation goes back to the start
        assert.strictEqual(one.loaded.at(-1), one.loaded[0])
      }).pipe(Effect.provide(layerOf([one], { adapters: folder })))
      assert.deepStrictEqual(one.held(), [])
      assert.isFalse(fs.existsSync(folder))
    }).pipe(Effect.scoped))

  it.live("that a killed process of the same run left are unloaded; another run's stay", () =>
    Effect.gen(function*() {
      const one = yield* server()
      const layer = (run: string) => layerOf([one], { run })
      const killed = yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.provide(sample(), yield* Layer.build(layer("/runs/mine")))
        return one.held()[0]!
      }))
      yield* Effect.promise(() => fetch(`${one.url}/v1/load_lora_adapter`, { method: "POST", body: JSON.stringify({ lora_name: killed, lora_path: path.join(work, "none") }) }))
      fs.mkdirSync(path.join(work, "left"))
      for (const run of ["/runs/mine", "/elsewhere/mine"]) {
        yield* Effect.gen(function*() {
          yield* sample({ policy: policies[3]! })
          assert.isTrue(one.held().every((name) => !name.includes("-v1-")))
        }).pipe(Effect.provide(layer(run)))
      }
    }).pipe(Effect.scoped))

  it.live("that a server does not load: tried three times, then told with what to do", () =>
    Effect.gen(function*() {
      const slow = yield* server({ loads: ["missing", "missing"] }) // a shared folder that shows a new file late
      same(yield* Effect.provide(sample(), layerOf([slow])), honest[0])
      const refused = yield* failure(Effect.provide(sample(), layerOf([yield* server({ loads: ["500", "500", "500"] })])))
      assert.match(refused.message, /does not load the adapter .* \(500: LoRA rank 64 is greater than max_lora_rank 16\.\): it must see that folder .* and take adapters of this rank \(--max-lora-rank\)\.$/)
      const closed = yield* failure(Effect.provide(sample(), layerOf([yield* server({ updating: false })])))
      assert.match(closed.message, /loads no adapters: start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True/)
      for (const error of [refused, closed]) assert.strictEqual(error.kind, "refused")
    }).pipe(Effect.scoped))
})

describe("what a server cannot do for the run", () => {
  it.live("is told before anything is drawn", () =>
    Effect.gen(function*() {
      const one = yield* server()
      const refused = (changes: Partial<SamplerOpenAI.SamplerOpenAIOptions>, servers = [one]) => Effect.map(failure(Effect.provide(sample(), layerOf(servers, changes))), ({ message }) => message)
      assert.match(yield* refused({ needsDrawn: true, sampling: { ...plain, minP: 0.1 } }), /is vllm, which does not tell how likely a token was after temperature and filters.* give --temperature 1 --min-p 0/)
      assert.match(yield* refused({ lora: { ...lora, ranks: { "model.layers.0.self_attn.q_proj": 4 } } }), /knows one rank and one alpha for all matrices/)
      assert.match(yield* refused({}, [yield* server({ maxModelLen: 100 })]), /takes 100 tokens of prompt and drawing, and --max-length is 160: start it with a longer --max-model-len/)
      assert.match(yield* refused({ engine: "sglang" }), /loads no adapters|is not what/)
      assert.strictEqual(one.asked.length, 0)
    }).pipe(Effect.scoped))
})

describe("tokens", () => {
  it.live("are read as numbers, as token_id:N, or from a text that gives back the same tokens; from no other", () =>
    Effect.gen(function*() {
      for (const tells of ["numbered", "text"] as const) {
        same(yield* Effect.provide(sample(), layerOf([yield* server({ tells })])), honest[0])
      }
      const error = yield* failure(Effect.provide(sample({ prompts: prompts.slice(0, 1), k: 1 }), layerOf([yield* server({ tells: "odd-text" })])))
      assert.match(error.message, /it tells no token ids, and its text does not give back the tokens that were drawn/)
    }).pipe(Effect.scoped))
})
