import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { makeAlarms } from "../../src/evaluation/trust.ts"
import type { StoredReport } from "../../src/stages/RunState.ts"
import { Archive, type Extent } from "../../src/studio/archive.ts"
import { makeMemory, Points } from "../../src/studio/reports-so-far.ts"

describe("points", () => {
  it("are means of equally many neighbouring steps, and never too many", () => {
    for (const n of [1, 7, 8, 9, 16, 17, 100, 1000]) {
      const points = new Points(8)
      for (let step = 0; step < n; step++) points.add(step, { loss: step, ...(step % 3 === 0 ? { rare: step } : {}) })
      const { every, rows } = points
      assert.isAtMost(rows.length, 8)
      assert.isAbove(rows.length, n < 4 ? 0 : 3)
      rows.forEach((row, i) => {
        const steps = Array.from({ length: n }, (_, step) => step).slice(i * every, (i + 1) * every)
        const mean = (of: ReadonlyArray<number>) => of.reduce((sum, x) => sum + x, 0) / of.length
        assert.strictEqual(row.step, steps[0])
        assert.closeTo(row["loss"]!, mean(steps), 1e-9)
        const rare = steps.filter((step) => step % 3 === 0)
        if (rare.length === 0) assert.isUndefined(row["rare"])
        else assert.closeTo(row["rare"]!, mean(rare), 1e-9)
      })
    }
  })
})

/** A run whose drawings grow, so that an alarm is raised. */
const report = (step: number, tokens: number): StoredReport => ({ step, policyVersion: step, metrics: { loss: step, "svg/length": tokens, "seconds/step": 2 }, trust: [] })

describe("the memory of a run", () => {
  it.effect("reads each report once, and begins again where a run went back", () =>
    Effect.gen(function*() {
      let stored = Array.from({ length: 1200 }, (_, step) => report(step, step < 600 ? 50 : 100))
      let read = 0
      const archive = Layer.mock(Archive, {
        isWorked: () => false,
        reportsAfter: (_, step, most) =>
          Effect.sync(() => {
            const lot = stored.filter((one) => one.step > step).slice(0, most)
            read += lot.length
            return lot
          })
      })
      const extent = (timed = { steps: 0, seconds: 0 }): Extent => ({ steps: stored.length, firstStep: 0, lastStep: stored.length - 1, timed, usd: 0, byJudge: [] })
      yield* Effect.gen(function*() {
        const remember = makeMemory()
        const known = yield* remember("run", extent())
        assert.strictEqual(read, 1200)
        assert.deepStrictEqual(known.alarms, stored.flatMap(makeAlarms()))
        assert.isNotEmpty(known.alarms)
        assert.strictEqual(known.seconds(extent()), 2400)
        assert.deepStrictEqual(known.last.map(({ step }) => step), Array.from({ length: 50 }, (_, n) => 1150 + n))
        stored.push(report(1200, 100))
        const timed = { steps: 1200, seconds: 3000 } // a checkpoint knows what its steps took
        assert.strictEqual((yield* remember("run", extent(timed))).seconds(extent(timed)), 3002)
        assert.strictEqual(read, 1201)
        yield* Effect.all([remember("run", extent()), remember("run", extent())], { concurrency: 2 })
        assert.strictEqual(read, 1201)
        stored = stored.slice(0, 10)
        const again = yield* remember("run", extent())
        assert.deepStrictEqual([again.next, again.alarms, again.points.rows.length], [10, [], 10])
      }).pipe(Effect.provide(archive))
    }))
})
