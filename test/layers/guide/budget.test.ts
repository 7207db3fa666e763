import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { makeBudget, nanoUsd } from "../../../layers/guide/budget.ts"
import { integer, random } from "../../../src/engine/random.ts"

it.effect("is never exceeded, and never left with room for a call that was refused", () =>
  Effect.gen(function*() {
    for (let trial = 0; trial < 200; trial++) {
      const draw = random(0xb0d6e7, trial)
      const limitUsd = 0.001 + 0.05 * draw()
      const budget = makeBudget(limitUsd)
      let charged = 0
      let open = 0
      const calls = Array.from({ length: 60 }, () => {
        const worst = 1 + integer(draw, 3_000_000)
        const actual = draw() < 0.2 ? worst : Math.floor(draw() * worst)
        const [ms, fails] = [integer(draw, 50), draw() < 0.3]
        const call = Effect.gen(function*() {
          open++
          yield* Effect.sleep(ms)
          open--
          charged += actual
          if (fails) return yield* Effect.fail("fault" as const)
        })
        return { worst, run: budget.spend(worst, call, (exit) => (exit === "interrupted" ? worst : actual)) }
      })
      const running = yield* Effect.forkChild(
        Effect.forEach(calls, ({ run }) => Effect.result(run), { concurrency: 1 + integer(draw, 30) })
      )
      for (let t = 0; t < 400; t++) {
        yield* TestClock.adjust(10)
        assert.isAtMost(charged, Math.floor(limitUsd * 1e9))
      }
      const results = running.pollUnsafe()
      assert.isDefined(results, "a call waits for ever")
      assert.strictEqual(open, 0)
      assert.strictEqual(yield* budget.spent, charged)
      if (results._tag !== "Success") continue
      results.value.forEach((result, n) => {
        if (result._tag === "Failure" && result.failure !== "fault") {
          assert.isAbove(charged + calls[n]!.worst, Math.floor(limitUsd * 1e9))
        }
      })
    }
  }))

it("rounds up to whole nano-USD", () => {
  assert.strictEqual(nanoUsd(0.1), 100_000_000)
  assert.strictEqual(nanoUsd(0.0000000001), 1)
})
