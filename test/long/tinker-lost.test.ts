/** What becomes of optimizer and sampler when their Tinker server is lost, late, or not what it should be. */
import * as http from "node:http"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { startProgram } from "../../layers/onnx/runtime.ts"
import * as OptimizerTinker from "../../layers/optimizer/tinker.ts"
import * as SamplerTinker from "../../layers/sampler/tinker.ts"
import { type ConnectOptions, connectTinker } from "../../layers/tinker/connect.ts"
import { openSaved } from "../../layers/tinker/saved.ts"
import { Preference } from "../../src/domain.ts"
import { plain } from "../../src/engine/sampling/sampling.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { defaultFormat } from "../../src/model/tokenizer/tokenizer.ts"
import { promptOf } from "../../src/prompts.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { Sampler } from "../../src/stages/Sampler.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { candidate, verdict } from "../stages/make.ts"
import { checkpoint, tokenizer } from "../support/embedded-policy.ts"
import { listening } from "../support/loopback.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { type Fault, tinkerServer, type TinkerServerOptions } from "../support/tinker-server.ts"

const folder = scratchFolder("tinker-lost")
let files = 0
const key = "tml-1234567890abcdef"
const serving = (options: TinkerServerOptions = {}) =>
  Effect.acquireRelease(Effect.promise(() => tinkerServer({ maxLength: 128, ...options })), ({ close }) => Effect.promise(close))
const connecting = (url: string, more: Partial<ConnectOptions> = {}) =>
  connectTinker({ url, apiKey: undefined, checkpoint, baseModel: undefined, rank: 2, seed: 5, patience: 1, deadline: 20, ...more })

const prompt = promptOf("a red circle")
const of = (index: number, svg: string) => candidate({ index, prompt, promptIds: [5, 6, 7, 8], completionIds: tokenizer.encode(svg), logps: tokenizer.encode(svg).map(() => -1) })
const pairs = [
  new Preference({ prompt, chosen: of(0, "<circle cx=\"32\" cy=\"32\" r=\"14\"/></svg>"), rejected: of(1, "<rect x=\"4\" y=\"4\"/></svg>"), label: 1, weight: 1, verdict: verdict() })
]

/** Optimizer and sampler of one process on this server. */
const stages = (url: string, more: Partial<ConnectOptions> = {}) =>
  Layer.unwrap(Effect.gen(function*() {
    const tinker = yield* connecting(url, more)
    const saved = yield* openSaved(path.join(folder, `${files++}.jsonl`))
    return Layer.merge(
      OptimizerTinker.layer({
        tinker,
        saved,
        initial: { version: 0, updates: 0, parameters: tinker.initial, moments: new Map() },
        objective: { lossType: "sigmoid", beta: 0.5, labelSmoothing: 0 },
        options: trainerDefaults(128, 1024, { learningRate: 1e-3 }).options
      }),
      SamplerTinker.layer({ tinker, saved, tokenizer, format: defaultFormat, sampling: plain, maxNewTokens: 24, maxLength: 128, stop: "</svg>", versions: 2 })
    )
  }))

const bits = (parameters: Parameters) => [...parameters].map(([name, { data }]) => [name, [...data]])

/** The parameters after 3 steps, `between` before the third. */
const trained = Effect.fnUntraced(function*(server: { readonly url: string }, between: (versions: ReadonlyArray<PolicySnapshot>) => Effect.Effect<void, unknown, Optimizer | Sampler>, more?: Partial<ConnectOptions>) {
  return yield* Effect.gen(function*() {
    const { step } = yield* Optimizer
    const versions = [(yield* step(pairs)).snapshot, (yield* step(pairs)).snapshot]
    yield* between(versions)
    return bits((yield* step(pairs)).snapshot.parameters)
  }).pipe(Effect.provide(stages(server.url, more)))
})

describe("a server that is lost in a step and comes back: the run goes on as if it had not been", () => {
  const ways: ReadonlyArray<readonly [string, Fault]> = [
    ["started again, nothing in memory, before a forward pass", { path: "forward", how: "forget" }],
    ["started again between gradients and update", { path: "optim_step", how: "forget" }],
    ["its answer to gradients was lost, which were added up", { path: "forward_backward", how: "reset" }],
    ["its answer to an update was lost, which was made", { path: "optim_step", how: "reset" }],
    ["its answer to a save was lost", { path: "save_weights", how: "reset" }],
    ["a result never came", { path: "optim_step", how: "never" }],
    ["the connection broke while a result was waited for", { path: "retrieve_future", how: "reset" }]
  ]
  it.live("each way", () =>
    Effect.gen(function*() {
      const server = yield* serving()
      const run = (faults: boolean) => Effect.gen(function*() {
        const { step } = yield* Optimizer
        return yield* Effect.forEach(ways, ([name, fault]) => Effect.gen(function*() {
          if (faults) server.faults.push(fault)
          const { metrics, snapshot } = yield* step(pairs)
          assert.deepStrictEqual(server.faults, [], name)
          return { metrics, parameters: bits(snapshot.parameters) }
        }))
      }).pipe(Effect.provide(stages(server.url, { deadline: faults ? 3 : 20 })))
      const straight = yield* run(false)
      const again = yield* run(true)
      ways.forEach(([name], n) => assert.deepStrictEqual(again[n], straight[n], name))
      assert.strictEqual(server.models.size, 0, "models that nobody holds are unloaded")
    }).pipe(Effect.scoped))

  it.live("a step that is given up leaves the state before it", () =>
    Effect.gen(function*() {
      const server = yield* serving()
      const straight = yield* trained(server, () => Effect.void)
      const again = yield* trained(server, () => Optimizer.use((optimizer) => Effect.gen(function*() {
        for (const ms of [0, 40, 120]) {
          const fiber = yield* Effect.forkChild(Effect.uninterruptible(optimizer.step(pairs)), { startImmediately: true })
          yield* Effect.sleep(ms)
          yield* Fiber.interrupt(fiber)
        }
        assert.deepInclude(yield* optimizer.state, { version: 2, updates: 2 })
      })))
      assert.deepStrictEqual(again, straight)
    }).pipe(Effect.scoped))
})

describe("drawing", () => {
  it.live("comes from the version asked for, whatever was trained since, and leaves the training alone", () =>
    Effect.gen(function*() {
      const server = yield* serving()
      const straight = yield* trained(server, () => Effect.void)
      const again = yield* trained(server, ([first, second]) => Effect.gen(function*() {
        const { sample } = yield* Sampler
        const draw = (policy: PolicySnapshot) => sample({ step: 0, prompts: [prompt], k: 3, seed: 1, policy })
        const [one, same] = yield* Effect.all([draw(first!), draw(first!)], { concurrency: 2 })
        const texts = (groups: typeof one) => groups.flat().map(({ svg }) => svg)
        assert.deepStrictEqual(texts(same), texts(one)) // the last bits depend on what is computed together
        const drawn = { first: yield* draw(first!), second: yield* draw(second!) }
        assert.deepStrictEqual(texts(drawn.first), texts(one))
        assert.deepStrictEqual(yield* draw(first!), drawn.first)
        for (const [snapshot, groups] of [[first!, drawn.first], [second!, drawn.second]] as const) {
          const lora = { r: 2, alpha: 32, targets: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] }
          const trainer = yield* startProgram("trainer", { checkpoint, lora, parameters: snapshot.parameters, ...trainerDefaults(128, 1024), device: "cpu", threads: 1 })
          const candidates = groups.flat()
          const logps = yield* trainer.logps(candidates.map(({ completionIds, promptIds }) => ({ ids: [...promptIds, ...completionIds], promptLength: promptIds.length })), false)
          candidates.forEach((one, n) => one.logps.forEach((logp, t) => assert.closeTo(logp, logps[n]![t]!, 1e-4)))
        }
      }).pipe(Effect.scoped))
      assert.deepStrictEqual(again, straight)
    }).pipe(Effect.scoped))

  it.live("of weights that the server does not hold is refused", () =>
    Effect.gen(function*() {
      const server = yield* serving()
      const error = yield* Effect.flip(Effect.gen(function*() {
        const { step } = yield* Optimizer
        const { sample } = yield* Sampler
        const { snapshot } = yield* step(pairs)
        const others = new Map([...snapshot.parameters].map(([name, { data, shape }]) => [name, { shape, data: data.map((x) => x + 1e-3) }]))
        return yield* sample({ step: 0, prompts: [prompt], k: 2, seed: 1, policy: { version: 1, parameters: others } })
      }).pipe(Effect.provide(stages(server.url))))
      assert.match(String(error.message), /^the Tinker server at .* holds no weights of version 1, and weights cannot be sent there/)
    }).pipe(Effect.scoped))
})

describe("a server that cannot be used is told in one sentence", () => {
  const refusedBy = (expected: RegExp, options: TinkerServerOptions, faults: ReadonlyArray<Fault>, more: Partial<ConnectOptions> = {}) =>
    Effect.gen(function*() {
      const server = yield* serving(options)
      server.faults.push(...faults)
      const { message } = yield* Effect.flip(connecting(server.url, more))
      assert.match(message, expected)
      assert.notInclude(message, key)
      assert.notInclude(message, "\n")
    }).pipe(Effect.scoped)

  it.live("there is none", () =>
    Effect.gen(function*() {
      const { close, url } = yield* Effect.promise(() => listening(http.createServer()))
      yield* Effect.promise(close)
      const { message } = yield* Effect.flip(connecting(url, { patience: 0.5 }))
      assert.match(message, /^The Tinker server at http:\/\/127.0.0.1:\d+ cannot be reached \(ECONNREFUSED\): start it, or check --tinker-url\.$/)
    }).pipe(Effect.scoped))
  it.live("it refuses the key", () => refusedBy(/does not accept the key \(401: Invalid key ….*check TINKER_API_KEY/, { key: "another" }, [], { apiKey: Redacted.make(key) }))
  it.live("it refuses a request", () => refusedBy(/refused the request \(422: .*rank must be even/, {}, [{ path: "create_model", how: "refuse" }]))
  it.live("it is no Tinker server", () => refusedBy(/answered create_session with something that is not in the protocol \(<html>/, {}, [{ path: "create_session", how: "html" }]))
  it.live("it has another base", () => refusedBy(/has no base model "llama": --tinker-base-model takes one of models\/policy/, {}, [], { baseModel: "llama" }))
  it.live("it has no place", () => refusedBy(/^The Tinker server at .* has no place for another adapter \(400: Maximum number of LoRA adapters \(2\) reached\): raise its max_lora_adapters/, { capacity: 1 }, []))
  it.live("its answers have no end", () => refusedBy(/cannot be reached \(it is longer than 64000000 bytes\)/, {}, [{ path: "get_server_capabilities", how: "huge" }]))
})
