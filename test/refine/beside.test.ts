/** Best of N: as many drawings as the same tokens give, the draft first, the same whatever is refined beside. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { besideOf } from "../../src/refine/beside.ts"
import { refine } from "../../src/refine/loop.ts"
import { type Asked, critic, judge, options, prompts, renderer, sampler } from "./hands.ts"

const stages = (seed: number, asked: Array<Asked> = []) => Layer.mergeAll(sampler({ asked }), critic({ seed }), judge({ seed }), renderer)

it.effect("draws no more than the tokens give and no fewer, the draft among them", () =>
  Effect.gen(function*() {
    for (let seed = 0; seed < 8; seed++) {
      const o = { ...options, seed, threshold: 11, patience: 4 }
      const asked: Array<Asked> = []
      yield* Effect.gen(function*() {
        const refined = yield* refine(o, prompts)
        asked.length = 0
        const beside = yield* besideOf(o, refined)
        const more = yield* Effect.forEach(refined, (of) => besideOf(o, [{ ...of, tokens: of.tokens + 60 }]))
        for (const [n, { draft, tokens }] of refined.entries()) {
          const { champion, drawings } = beside[n]!
          assert.deepStrictEqual([drawings[0]!.svg, drawings[0]!.tokens], [draft.svg, draft.tokens])
          const spent = drawings.reduce((sum, drawing) => sum + drawing.tokens, 0)
          assert.isTrue(spent <= tokens || drawings.length === 1)
          const next = more[n]![0]!.drawings[drawings.length]!
          assert.isAbove(spent + next.tokens, tokens)
          assert.isTrue(champion >= 0 && champion < drawings.length)
          assert.deepStrictEqual(yield* besideOf(o, [refined[n]!]), [beside[n]!])
        }
      }).pipe(Effect.provide(stages(seed, asked)))
      assert.isAtMost(Math.max(...asked.map(({ k }) => k)), 64)
    }
  }))

it.effect("greedy drawings are all the same, and drawn once", () =>
  Effect.gen(function*() {
    const o = { ...options, draftTemperature: 0, threshold: 11 }
    const [beside] = yield* Effect.flatMap(refine(o, [prompts[0]!]), (refined) => besideOf(o, refined))
    assert.deepStrictEqual([beside!.champion, beside!.drawings.length], [0, 1])
  }).pipe(Effect.provide(stages(0))))
