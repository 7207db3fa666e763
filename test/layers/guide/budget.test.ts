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

it.effect("books what is charged, and no call passes the limit at the rate that the first one was charged", () =>
  Effect.gen(function*() {
    for (const firstShare of [0, 0.25]) {
      for (let trial = 0; trial < 100; trial++) {
        const draw = random(0xcafe, trial)
        const limit = 100_000_000
        const rate = 1 + 3 * draw()
        const budget = makeBudget(limit / 1e9, 0, { firstShare })
        let charged = 0
        const calls = Array.from({ length: 80 }, () => {
          const estimate = 2_000_000 + integer(draw, 1_000_000)
          const actual = Math.floor(rate * estimate)
          const call = Effect.andThen(Effect.sleep(integer(draw, 50)), Effect.sync(() => void (charged += actual)))
          return budget.spend(estimate, call, () => actual)
        })
        const running = yield* Effect.forkChild(Effect.forEach(calls, Effect.result, { concurrency: 20 }))
        while (running.pollUnsafe() === undefined) yield* TestClock.adjust(10)
        assert.isAtMost(charged, limit)
        assert.isAbove(charged, 0.8 * limit) // and what is left is too little for another
        assert.strictEqual(yield* budget.spent, charged)
      }
    }
  }))

it.effect("says by how much it was passed where one call alone is charged more than all of it, and makes no other", () =>
  Effect.gen(function*() {
    const budget = makeBudget(0.05, 0, { firstShare: 0 })
    yield* budget.spend(1_000_000, Effect.void, () => 80_000_000)
    const error = yield* Effect.flip(budget.spend(1_000_000, Effect.die("made"), () => 0))
    assert.match(error.message, /\$0\.05 has been passed by \$0\.030000, .* could cost \$0\.080000: raise --budget-usd/)
  }))

it("rounds up to whole nano-USD", () => {
  assert.strictEqual(nanoUsd(0.1), 100_000_000)
  assert.strictEqual(nanoUsd(0.0000000001), 1)
})
