import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { Verdict } from "../../src/domain.ts"
import { decideRenderings } from "../../src/lessons/decide.ts"
import { Judge, JudgeBusy, JudgeRefused } from "../../src/stages/Judge.ts"
import { inked, prompt } from "../stages/make.ts"

describe("letters", () => {
  /** More ink wins; the letters are ink. */
  const ink = Layer.succeed(Judge, {
    name: "ink",
    identity: "ink",
    concurrency: 1,
    compare: (_, a, b) => {
      const [x, y] = [a, b].map(({ rgba }) => rgba.filter((value) => value < 128).length)
      return Effect.succeed(new Verdict({ outcome: x === y ? "tie" : x! > y! ? "A" : "B", confidence: 0.5, by: "ink", costUsd: 1 }))
    }
  })
  const lettered = (whole: number, bare: number) => ({ _tag: "Rendered", picture: inked(whole), bare: inked(bare) }) as const
  const sign = prompt("a sign that says STOP")

  it.effect("that alone make a drawing win make a tie; that tell between equals decide", () =>
    Effect.gen(function*() {
      const plain = { _tag: "Rendered", picture: inked(0.5) } as const
      const cheat = yield* decideRenderings(sign, lettered(0.8, 0), plain)
      assert.strictEqual(cheat.outcome, "tie")
      assert.strictEqual(cheat.costUsd, 2)
      assert.match(cheat.reason!, /Without its letters it loses/)
      assert.strictEqual((yield* decideRenderings(sign, lettered(0.8, 0.6), plain)).outcome, "A")
      assert.strictEqual((yield* decideRenderings(sign, lettered(0.6, 0.4), lettered(0.5, 0.4))).outcome, "A")
      assert.strictEqual((yield* decideRenderings(sign, plain, plain)).costUsd, 1)
    }).pipe(Effect.provide(ink)))

  for (const [name, error] of [
    ["refused", new JudgeRefused({ message: "no opinion", costUsd: 1 })],
    ["busy to the end", new JudgeBusy({ message: "no opinion", retryAfter: Duration.zero })]
  ] as const) {
    it.effect(`make no label where the question without them was ${name}`, () =>
      Effect.gen(function*() {
        const judge = yield* Judge
        let asked = 0
        const once = Layer.succeed(Judge, {
          ...judge,
          compare: (...pair) => (++asked === 1 ? judge.compare(...pair) : Effect.fail(error))
        })
        const decided = decideRenderings(sign, lettered(0.8, 0.6), { _tag: "Rendered", picture: inked(0.5) }, 1)
        const { by, confidence, costUsd, outcome, reason } = yield* decided.pipe(Effect.provide(once))
        assert.deepStrictEqual([outcome, confidence, by], ["failed", 0, "ink"])
        assert.strictEqual(reason, "Without its letters: no opinion")
        assert.strictEqual(costUsd, name === "refused" ? 2 : 1)
      }).pipe(Effect.provide(ink)))
  }
})
