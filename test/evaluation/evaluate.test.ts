import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as JudgeFake from "../../layers/judge/fake.ts"
import * as rendererCircles from "../../layers/renderer/circles.ts"
import * as SamplerFake from "../../layers/sampler/fake.ts"
import { evaluate, type EvaluationOptions } from "../../src/evaluation/evaluate.ts"
import { Evaluated } from "../../src/evaluation/measures.ts"
import { sceneScorer } from "../../src/evaluation/scene-check.ts"
import { promptOf } from "../../src/prompts.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { Sampler, type SampleRequest } from "../../src/stages/Sampler.ts"

const prompts = (n: number, what: string) => Array.from({ length: n }, (_, i) => promptOf(`${what} ${i}`))
const silent = { tick: () => Effect.void, note: () => Effect.void, end: Effect.void }
/** Likes a circle of radius 0.4, as the fake judge does, so much that the untrained policy's circles are worse. */
const ink = {
  name: "ink",
  score: (_: unknown, { rgba }: { readonly rgba: Uint8Array }) =>
    Effect.sync(() => {
      let dark = 0
      for (let i = 0; i < rgba.length; i += 4) if (rgba[i]! < 200) dark++
      return -Math.abs(4 * dark / rgba.length - 0.4)
    })
}
const options: EvaluationOptions = {
  prompts: { train: prompts(30, "a sun"), heldOut: prompts(24, "a moon") },
  before: SamplerFake.initialPolicy(0.2),
  after: { ...SamplerFake.initialPolicy(0.65), version: 9 },
  scorers: [sceneScorer, ink],
  seed: 4,
  temperatures: [0.5],
  bestOf: 3,
  atOnce: 16,
  progress: () => Effect.succeed(silent)
}
const stages = Layer.mergeAll(SamplerFake.layer(), rendererCircles.layer({ size: 32 }), JudgeFake.layer())
const run = (changes: Partial<EvaluationOptions> = {}) => evaluate({ ...options, ...changes })

/** The requests that reach the sampler, while it draws as before. */
const watched = (requests: Array<SampleRequest>) =>
  Layer.effect(
    Sampler,
    Sampler.use((sampler) =>
      Effect.succeed(Sampler.of({ ...sampler, sample: (request) => Effect.andThen(Effect.sync(() => requests.push(request)), sampler.sample(request)) })))
  ).pipe(Layer.provide(SamplerFake.layer()))

describe("evaluate", () => {
  it.effect("gives the same numbers whenever it is computed, and numbers that survive JSON", () =>
    Effect.gen(function*() {
      const one = yield* run()
      assert.deepStrictEqual(yield* run({ atOnce: 1000 }), one)
      const decoded = yield* Schema.decodeEffect(Schema.fromJsonString(Evaluated))(JSON.stringify(one.evaluated))
      assert.deepStrictEqual(decoded, one.evaluated)
      assert.strictEqual(one.greedy.length, 24)
      assert.notDeepEqual((yield* run({ seed: 5 })).evaluated, one.evaluated)
    }).pipe(Effect.provide(stages)))

  it.effect("finds the gain of a policy that moved, in scores where nothing is right or wrong", () =>
    Effect.gen(function*() {
      const { learning, otherWinRates, winRate } = (yield* run()).evaluated
      assert.deepInclude(learning, { measure: "score", scorer: "ink", right: null, kinds: [], heldOut: 24, chosenOn: { prompts: 24, drawings: 4 } })
      assert.deepStrictEqual(learning!.before.curve.map(({ temperature }) => temperature), [0, 0.5, 1])
      assert.isAbove(learning!.score.difference.lower, 0)
      assert.match(learning!.sentence, /^Learned: mean score \(ink\)/)
      assert.strictEqual(winRate.scorer, "ink") // the scene check knows none of these prompts
      assert.deepStrictEqual(otherWinRates, [])
    }).pipe(Effect.provide(stages)))

  it.effect("draws held-out prompts with equal seeds, chooses on training prompts alone, and shares no seed with training", () => {
    const requests: Array<SampleRequest> = []
    return Effect.gen(function*() {
      yield* run()
      assert.isTrue(requests.every(({ step }) => step < 0))
      assert.isTrue(requests.every(({ k, prompts }) => k * prompts.length <= 16))
      const texts = (version: number, step: number) =>
        new Set(requests.filter((request) => request.policy.version === version && request.step === step).flatMap(({ prompts }) => prompts.map(({ text }) => text)))
      const [heldOut, train] = [new Set(options.prompts.heldOut.map(({ text }) => text)), new Set(options.prompts.train.map(({ text }) => text))]
      for (const version of [0, 9]) {
        assert.deepStrictEqual(texts(version, -1), heldOut)
        assert.strictEqual(texts(version, -2).size, 24)
        assert.isTrue([...texts(version, -2)].every((text) => train.has(text)))
      }
      assert.deepStrictEqual(texts(0, -2), texts(9, -2))
      assert.deepStrictEqual(new Set(requests.map(({ seed }) => seed)), new Set([4]))
    }).pipe(Effect.provide(Layer.mergeAll(watched(requests), rendererCircles.layer({ size: 32 }), JudgeFake.layer())))
  })

  it.effect("asks a free judge for the best of K, and never another one", () =>
    Effect.gen(function*() {
      const free = yield* run()
      assert.deepStrictEqual("of" in free.evaluated.learning!.bestOf && free.evaluated.learning!.bestOf.of.map(({ k }) => k), [1, 2, 3])
      const judge = yield* Judge
      const never = () => Effect.die("it was asked")
      const paid = yield* run().pipe(Effect.provideService(Judge, { name: "paid", identity: "paid", concurrency: 1, compare: never }))
      assert.deepStrictEqual(paid.evaluated.learning!.bestOf, { notAsked: "an answer of the judge paid costs money or time, so it was not asked" })
      const off = yield* run({ bestOf: 0 }).pipe(Effect.provideService(Judge, { ...judge, compare: never }))
      assert.deepStrictEqual(off.evaluated.learning!.bestOf, { notAsked: "best of K was turned off" })
      assert.deepStrictEqual({ ...off.evaluated.learning, bestOf: 0 }, { ...free.evaluated.learning, bestOf: 0 })
    }).pipe(Effect.provide(stages)))

  it.effect("draws nothing without held-out prompts", () =>
    Effect.gen(function*() {
      const { evaluated, greedy } = yield* run({ prompts: { ...options.prompts, heldOut: [] } })
      assert.deepStrictEqual([evaluated.learning, evaluated.winRate.n, greedy], [null, 0, []])
    }).pipe(Effect.provide(Layer.mergeAll(JudgeFake.layer(), rendererCircles.layer({ size: 32 }), Layer.succeed(Sampler, { name: "none", sample: () => Effect.die("it drew") })))))
})
