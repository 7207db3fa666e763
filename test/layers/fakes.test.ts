import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as JudgeCoin from "../../layers/judge/coin.ts"
import * as JudgeFake from "../../layers/judge/fake.ts"
import * as OptimizerFake from "../../layers/optimizer/fake.ts"
import * as SamplerFake from "../../layers/sampler/fake.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { judgeContract } from "../stages/Judge.contract.ts"
import { inked, prompt, rollout } from "../stages/make.ts"
import { optimizerContract } from "../stages/Optimizer.contract.ts"
import { samplerContract } from "../stages/Sampler.contract.ts"

samplerContract("fake", SamplerFake.layer(), SamplerFake.initialPolicy())
judgeContract("fake", JudgeFake.layer())
judgeContract("coin", JudgeCoin.layer(1))
optimizerContract(
  "fake",
  (initial) => OptimizerFake.layer({ initial }),
  { ...SamplerFake.initialPolicy(), updates: 0, moments: new Map([["exp_avg.radius", { shape: [1], data: new Float32Array(1) }]]) },
  rollout(0).lessons
)

describe("judge-coin", () => {
  it.effect("is fair, and another coin for another seed", () =>
    Effect.gen(function*() {
      const pictures = Array.from({ length: 25 }, (_, i) => inked(i / 25))
      const flips = (seed: number) =>
        Effect.gen(function*() {
          const judge = yield* Judge
          return yield* Effect.forEach(pictures.flatMap((a, i) => pictures.slice(i + 1).map((b) => [a, b] as const)), ([a, b]) =>
            Effect.map(judge.compare(prompt("a cat"), a, b), ({ outcome }) => outcome))
        }).pipe(Effect.provide(JudgeCoin.layer(seed)))
      const [one, two] = [yield* flips(1), yield* flips(2)]
      const heads = one.filter((outcome) => outcome === "A").length
      assert.closeTo(heads / one.length, 0.5, 0.12) // 300 flips: four standard deviations
      assert.notDeepEqual(one, two)
    }))
})

describe("judge-fake", () => {
  it.effect("fails on the calls it was told to", () =>
    Effect.gen(function*() {
      const judge = yield* Judge
      const ask = judge.compare(prompt("a cat"), inked(0.1), inked(0.4)).pipe(
        Effect.map(({ outcome }): string => outcome),
        Effect.catch(({ _tag }) => Effect.succeed(_tag))
      )
      const answers = yield* Effect.replicateEffect(ask, 6)
      assert.deepStrictEqual(answers, ["B", "JudgeBusy", "JudgeRefused", "JudgeBusy", "B", "JudgeBusy"])
    }).pipe(Effect.provide(Layer.fresh(JudgeFake.layer({ busyEvery: 2, refuseEvery: 3 })))))
})
