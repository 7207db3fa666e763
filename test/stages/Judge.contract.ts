/** What every Judge must do. `pictures` are some it may be shown; a few of them should differ in its eyes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import type { Outcome, Picture } from "../../src/domain.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { inked, prompt } from "./make.ts"

const mirrored: Partial<Record<Outcome, Outcome>> = { A: "B", B: "A", tie: "tie" }

const allOrdered = (pictures: ReadonlyArray<Picture>) =>
  pictures.flatMap((a, i) => pictures.filter((_, j) => i !== j).map((b) => [a, b] as const))

export const judgeContract = <E>(
  name: string,
  layer: Layer.Layer<Judge, E>,
  pictures: ReadonlyArray<Picture> = [0.05, 0.2, 0.4, 0.401, 0.7, 0.95].map((share) => inked(share))
) =>
  describe(`Judge contract: ${name}`, () => {
    const cat = prompt("a cat")
    const compare = (a: Picture, b: Picture) =>
      Judge.use((judge) => judge.compare(cat, a, b))

    it.live("answers A, B or tie with a confidence in [0, 1], 0 for a tie", () =>
      Effect.gen(function*() {
        const judge = yield* Judge
        assert.isAbove(judge.name.length, 0)
        assert.isAbove(judge.identity.length, 0)
        assert.isAtLeast(judge.concurrency, 1)
        for (const [a, b] of allOrdered(pictures)) {
          const { by, confidence, outcome } = yield* compare(a, b)
          assert.include(["A", "B", "tie"], outcome)
          assert.isTrue(confidence >= 0 && confidence <= 1, `confidence ${confidence}`)
          if (outcome === "tie") assert.strictEqual(confidence, 0)
          assert.notStrictEqual(by, "gate")
        }
      }).pipe(Effect.provide(layer)))

    it.live("mirrors its answer when the pictures are swapped", () =>
      Effect.gen(function*() {
        for (const [a, b] of allOrdered(pictures)) {
          const [there, back] = [yield* compare(a, b), yield* compare(b, a)]
          assert.strictEqual(back.outcome, mirrored[there.outcome])
          assert.closeTo(back.confidence, there.confidence, 1e-6)
          if (there.scores !== undefined) assert.deepStrictEqual(back.scores, [there.scores[1], there.scores[0]])
        }
      }).pipe(Effect.provide(layer)))

    it.live("ties identical pictures", () =>
      Effect.gen(function*() {
        for (const picture of pictures) assert.strictEqual((yield* compare(picture, picture)).outcome, "tie")
      }).pipe(Effect.provide(layer)))

    it.live("is deterministic, across two lives of the layer too", () => {
      const once = Effect.forEach(allOrdered(pictures), ([a, b]) => compare(a, b)).pipe(Effect.provide(layer))
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* once, yield* once)
      })
    })
  })
