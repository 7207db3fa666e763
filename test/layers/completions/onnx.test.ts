/** Completions are what the sampler draws from the same keys, whoever comes and goes beside them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import * as CompletionsOnnx from "../../../layers/completions/onnx.ts"
import { OnnxRuntime, startProgram } from "../../../layers/onnx/runtime.ts"
import { modulesOf } from "../../../src/engine/nets/transformer.ts"
import { gaussian, random } from "../../../src/engine/random.ts"
import { plain, type SamplingOptions } from "../../../src/engine/sampling/sampling.ts"
import { initialAdapter, type LoraConfig, noAdapter } from "../../../src/engine/weights/parameters.ts"
import type { Parameters } from "../../../src/engine/weights/tensor.ts"
import { defaultFormat, promptIds } from "../../../src/model/tokenizer/tokenizer.ts"
import { type CompletionRequest, Completions, completionSeed, type Piece } from "../../../src/stages/Completions.ts"
import { checkpoint, tokenizer } from "../../support/embedded-policy.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const work = scratchFolder("completions")
const maxLength = 160

const trained = (lora: LoraConfig, seed: number): Parameters => {
  const draw = random(seed)
  return new Map([...initialAdapter(modulesOf(checkpoint.config), lora, seed)].map(([name, { data, shape }]) =>
    [name, { shape, data: data.map((x) => x + 0.05 * gaussian(draw)) }]))
}
/** Of other ranks, matrices and scales. */
const adapters = {
  small: { lora: { r: 4, alpha: 8, targets: ["q_proj", "v_proj"] }, seed: 1 },
  large: { lora: { r: 8, alpha: 8, targets: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] }, seed: 2 },
  mixed: { lora: { r: 4, alpha: 16, targets: ["down_proj"], ranks: { "model.layers.1.mlp.down_proj": 2 } }, seed: 3 }
} satisfies Record<string, { lora: LoraConfig; seed: number }>
type Name = keyof typeof adapters

const layerOf = (changes: Partial<CompletionsOnnx.CompletionsOnnxOptions> = {}) =>
  CompletionsOnnx.layer({
    checkpoint, tokenizer, maxLength, maxNumSeqs: 12, maxWaiting: 100, precision: "float32", cache: work,
    quantizing: () => Effect.succeed(() => Effect.void), ...changes
  }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))

const idsOf = (prompt: string) => promptIds(tokenizer, defaultFormat, prompt)
const asked = (prompt: string, changes: Partial<CompletionRequest> = {}): CompletionRequest => ({
  adapter: undefined, ids: idsOf(prompt), seeds: [1, 2], options: plain, stops: ["</svg>"], cut: [], limit: 100, topLogprobs: undefined, ...changes
})

/** Of each completion. */
const gathered = (pieces: ReadonlyArray<Piece>) => {
  const all: Array<{ ids: Array<number>; logps: Array<number>; finish: string | undefined; text: string }> = []
  for (const { finish, ids, index, logps, text } of pieces) {
    const own = (all[index] ??= { ids: [], logps: [], finish: undefined, text: "" })
    own.ids.push(...ids)
    own.logps.push(...logps)
    own.finish = finish
    own.text += text
  }
  return all
}
const complete = (request: CompletionRequest) =>
  Effect.scoped(Completions.use((completions) => Effect.flatMap(completions.complete(request), Stream.runCollect))).pipe(Effect.map((pieces) => gathered([...pieces])))

/** What the sampler draws, alone, under one adapter. */
const sampler = Effect.fnUntraced(function*(adapter: Name | undefined) {
  const { lora, seed } = adapter === undefined ? { lora: noAdapter, seed: 0 } : adapters[adapter]
  const parameters: Parameters = adapter === undefined ? new Map() : trained(lora, seed)
  const program = yield* startProgram("sampler", {
    checkpoint, lora, maxLength, maxNumSeqs: 4, tokenTexts: tokenizer.tokenTexts, device: "cpu", threads: 1
  })
  return ({ ids, limit, options, seeds, stops }: CompletionRequest) =>
    program.sample({ prompts: [{ ids, seeds }], parameters, options, maxNewTokens: limit, stop: stops[0]!, eosIds: tokenizer.eosIds }).pipe(
      Effect.map(([group]) => group!)
    )
})

const holdAll = Completions.use(({ hold }) =>
  Effect.forEach(Object.entries(adapters), ([name, { lora, seed }]) => hold(name, lora, trained(lora, seed)), { discard: true }))

const prompts = ["a pelican", "two red stars", "a green bicycle right of a cat", "a fish"]
const ways: ReadonlyArray<Partial<SamplingOptions>> = [{}, { temperature: 0.7 }, { temperature: 0 }, { minP: 0.1, topP: 0.9 }, { topK: 5, repetitionPenalty: 1.1 }]

describe("completions", () => {
  it.live("are those of the sampler alone, for mixed adapters and ways of drawing, beside others that leave", () =>
    Effect.gen(function*() {
      yield* holdAll
      const requests = Array.from({ length: 24 }, (_, n) =>
        asked(prompts[n % prompts.length]!, {
          adapter: [undefined, "small", "large", "mixed"][n % 4],
          options: { ...plain, ...ways[n % ways.length] },
          seeds: Array.from({ length: 1 + n % 3 }, (_, i) => completionSeed(n, i)),
          limit: 10 + 5 * (n % 12)
        }))
      // Somebody leaves after a few tokens, again and again.
      const passing = yield* Effect.forkChild(Effect.forever(Effect.scoped(Completions.use((completions) =>
        Effect.flatMap(completions.complete(asked("a rabbit", { seeds: [7, 8, 9] })), (pieces) => Stream.runDrain(Stream.take(pieces, 9)))))))
      const all = yield* Effect.forEach(requests, (request, n) => Effect.delay(complete(request), 20 * n), { concurrency: "unbounded" })
      yield* Fiber.interrupt(passing)
      const samplers = [yield* sampler(undefined), yield* sampler("small"), yield* sampler("large"), yield* sampler("mixed")]
      for (const [n, request] of requests.entries()) {
        const wanted = yield* samplers[n % 4]!(request)
        assert.deepStrictEqual(all[n]!.map(({ finish, ids }) => ({ finish, ids })), wanted.map(({ finish, ids }) => ({ finish, ids })), `request ${n}`)
        all[n]!.forEach(({ ids, text }) => assert.strictEqual(text, tokenizer.decode(ids)))
        all[n]!.forEach(({ logps }, i) => logps.forEach((logp, t) => assert.closeTo(logp, wanted[i]!.logps[t]!, 1e-4)))
      }
    }).pipe(Effect.provide(layerOf())))

  it.live("tell the likeliest tokens, which are those of the sampler's probabilities", () =>
    Effect.gen(function*() {
      const pieces = yield* Effect.scoped(Completions.use((completions) =>
        Effect.flatMap(completions.complete(asked("a pelican", { topLogprobs: 5, limit: 8, seeds: [3], options: { ...plain, temperature: 0 } })), Stream.runCollect)))
      for (const { ids, logps, top } of pieces) {
        ids.forEach((id, t) => {
          assert.strictEqual(top[t]!.length, 5)
          assert.strictEqual(top[t]![0]![0], id, "greedy takes the likeliest")
          assert.closeTo(top[t]![0]![1], logps[t]!, 1e-5)
          assert.deepStrictEqual(top[t]!.map(([, logp]) => logp).toSorted((a, b) => b - a), top[t]!.map(([, logp]) => logp))
          assert.isAtMost(top[t]!.reduce((sum, [, logp]) => sum + Math.exp(logp), 0), 1 + 1e-5)
        })
      }
    }).pipe(Effect.provide(layerOf())))

  it.live("beyond places and queue are refused, and whoever leaves frees both", () =>
    Effect.gen(function*() {
      const completions = yield* Completions
      const full = yield* Effect.scoped(Effect.gen(function*() {
        yield* Effect.asVoid(completions.complete(asked("a pelican", { seeds: [1, 2, 3] })))
        assert.deepStrictEqual(yield* completions.figures, { open: 3, most: 4 })
        return yield* Effect.flip(completions.complete(asked("a fish", { seeds: [1, 2] })))
      }))
      assert.strictEqual(full._tag, "CompletionsFull")
      assert.include(full._tag === "CompletionsFull" ? full.message : "", "3 completions are open and 4 may be")
      assert.strictEqual((yield* completions.figures).open, 0)
      assert.strictEqual((yield* complete(asked("a fish", { seeds: [1, 2, 3, 4] }))).length, 4)
    }).pipe(Effect.provide(layerOf({ maxNumSeqs: 2, maxWaiting: 2 }))))

  it.live("that come and go between two tokens are never decoded", () =>
    Effect.gen(function*() {
      const program = yield* startProgram("serving", { checkpoint, maxLength, maxNumSeqs: 2, callTime: 0, tokenTexts: tokenizer.tokenTexts, device: "cpu", threads: 1 })
      const begun = (id: number) => {
        const { ids, limit, options, stops } = asked("a pelican")
        return { id, adapter: undefined, seeds: [1, 2], asked: { ids, limit, options, stops, eosIds: tokenizer.eosIds } }
      }
      assert.deepStrictEqual(yield* program.advance([begun(1)], [1]), [])
      assert.deepStrictEqual((yield* program.advance([begun(2), begun(3)], [])).map(({ id }) => id), [2, 2])
      assert.deepStrictEqual((yield* program.advance([], [2])).map(({ id }) => id), [3, 3])
      assert.deepStrictEqual(yield* program.advance([], [3]), [])
    }))

  it.live("that have begun under an adapter go on with it when another takes its name, or none", () =>
    Effect.gen(function*() {
      const completions = yield* Completions
      const { lora, seed } = adapters.large
      yield* completions.hold("a", lora, trained(lora, seed))
      const wanted = yield* (yield* sampler("large"))(asked("a pelican"))
      const under = (change: Effect.Effect<unknown, unknown>) =>
        Effect.scoped(Effect.gen(function*() {
          const pieces = yield* completions.complete(asked("a pelican", { adapter: "a" }))
          yield* change
          return gathered([...(yield* Stream.runCollect(pieces))])
        }))
      const ids = (all: ReadonlyArray<{ readonly ids: ReadonlyArray<number> }>) => all.map(({ ids }) => ids)
      const other = adapters.small
      assert.deepStrictEqual(ids(yield* under(completions.hold("a", other.lora, trained(other.lora, other.seed)))), ids(wanted))
      assert.notDeepEqual(ids(yield* complete(asked("a pelican", { adapter: "a" }))), ids(wanted))
      yield* completions.hold("a", lora, trained(lora, seed))
      assert.deepStrictEqual(ids(yield* under(completions.letGo("a"))), ids(wanted))
      assert.strictEqual((yield* Effect.flip(complete(asked("a pelican", { adapter: "a" }))))._tag, "AdapterUnknown")
      assert.strictEqual((yield* Effect.flip(completions.letGo("a")))._tag, "AdapterUnknown")
    }).pipe(Effect.provide(layerOf())))
})
