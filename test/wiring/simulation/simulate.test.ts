/** Runs on other machines: the clock, the cores, and steps whose seconds can be worked out by hand. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Ref } from "effect"
import { defaultPipeline, type PipelineConfig } from "../../../src/pipeline.ts"
import { makeCores } from "../../../src/wiring/simulation/cores.ts"
import { type Costs, type Machines, simulate } from "../../../src/wiring/simulation/simulate.ts"
import { inVirtualTime } from "../../../src/wiring/simulation/virtual-clock.ts"

describe("the virtual clock", () => {
  it.live("wakes sleepers in the order of their instants, and takes no time", () =>
    Effect.gen(function*() {
      const begun = performance.now()
      const woken = yield* Ref.make<ReadonlyArray<string>>([])
      const sleeper = (name: string, hours: number) =>
        Effect.andThen(Effect.sleep(`${hours} hours`), Effect.flatMap(Clock.currentTimeMillis, (now) => Ref.update(woken, (all) => [...all, `${name} ${now / 3.6e6}`])))
      yield* inVirtualTime(Effect.all([sleeper("c", 3), Effect.andThen(sleeper("a", 1), sleeper("b", 1)), Effect.raceFirst(sleeper("never", 9), Effect.sleep("4 hours"))], { concurrency: "unbounded" }))
      assert.deepStrictEqual(yield* Ref.get(woken), ["a 1", "b 2", "c 3"])
      assert.isBelow(performance.now() - begun, 5000)
    }))
})

describe("shared cores", () => {
  it.live("are divided among what is under way", () =>
    inVirtualTime(Effect.gen(function*() {
      const { work } = yield* makeCores(2)
      const ended = (begin: number, seconds: number) =>
        Effect.delay(Effect.andThen(work(seconds), Clock.currentTimeMillis), 1000 * begin)
      // Alone until 1; then three share two cores until the second has its 2 seconds at 4; then each of two has a core.
      assert.deepStrictEqual(
        (yield* Effect.all([ended(0, 4), ended(1, 2), ended(1, 5)], { concurrency: "unbounded" })).map((ms) => Math.round(ms) / 1000),
        [5, 4, 7]
      )
    }).pipe(Effect.scoped)))

  it.live("are given back by what is interrupted", () =>
    inVirtualTime(Effect.gen(function*() {
      const { work } = yield* makeCores(1)
      const both = [Effect.timeoutOption(work(9), "2 seconds"), work(3)]
      yield* Effect.all(both, { concurrency: "unbounded", discard: true })
      // Half a core until 2, and then a whole one for the other 2 seconds.
      assert.closeTo(yield* Clock.currentTimeMillis, 4000, 1e-3)
    }).pipe(Effect.scoped)))
})

const costs: Costs = { sample: { fixed: 0, each: 0.1 }, render: 0.01, judge: 0.05, train: 0.5 }
const alone: Machines = { samplers: 1, judgments: 1, judgmentsPerMinute: Infinity, cores: undefined, judgeLocal: true }
/** 16 drawings and 24 pairs a step, of which 4 are trained: alone 1.6 s, .16 s, 1.2 s and 2 s. */
const settings: PipelineConfig = { ...defaultPipeline, promptsPerStep: 4, promptsPerBatch: 4, k: 4, pairs: "best-worst", renderConcurrency: 1, maxStaleness: 0 }

describe("a simulated run", () => {
  it.live("takes all stages after one another where drawings may not be stale", () =>
    Effect.gen(function*() {
      const { bottleneck, busy, judgmentsAStep, lessonsAStep, secondsAStep, staleness } = yield* simulate(costs, alone, settings)
      assert.closeTo(secondsAStep, 1.6 + 0.16 + 1.2 + 2, 1e-6)
      assert.deepStrictEqual([judgmentsAStep, lessonsAStep, staleness, bottleneck], [24, 4, 0, "train"])
      assert.closeTo(busy.sample, 1.6 / 4.96, 1e-6)
      assert.closeTo(busy.train, 2 / 4.96, 1e-6)
    }))

  it.live("goes at the pace of the slowest stage once there is enough between the stages", () =>
    Effect.gen(function*() {
      const far = yield* simulate(costs, alone, { ...settings, maxStaleness: 2 })
      assert.closeTo(far.secondsAStep, 2, 1e-6)
      assert.closeTo(far.busy.train, 1, 1e-6)
      assert.strictEqual(far.staleness, 2)
      // One step apart, a step waits for the two before it together: 4.96 s for two.
      assert.closeTo((yield* simulate(costs, alone, { ...settings, maxStaleness: 1 })).secondsAStep, 4.96 / 2, 1e-6)
    }))

  it.live("is sped up by samplers only as far as these held it up", () =>
    Effect.gen(function*() {
      const slow: Costs = { ...costs, sample: { fixed: 0.4, each: 0.5 } }
      const at = (samplers: number) => Effect.map(simulate(slow, { ...alone, samplers }, { ...settings, maxStaleness: 3 }), ({ secondsAStep }) => secondsAStep)
      assert.closeTo(yield* at(1), 0.4 + 8, 1e-6)
      assert.closeTo(yield* at(2), 0.4 + 4, 1e-6)
      assert.closeTo(yield* at(8), 2, 1e-6) // the trainer
    }))

  it.live("waits for a judge's answers, or for its limit a minute", () =>
    Effect.gen(function*() {
      const remote = { ...alone, judgeLocal: false, judgments: 8 }
      const far = { ...settings, maxStaleness: 4 }
      const patient = yield* simulate({ ...costs, judge: 3 }, remote, far)
      assert.closeTo(patient.secondsAStep, 24 * 3 / 8, 1e-6)
      assert.strictEqual(patient.bottleneck, "judge")
      const limited = yield* simulate({ ...costs, judge: 3 }, { ...remote, judgments: 64, judgmentsPerMinute: 120 }, far)
      assert.closeTo(limited.secondsAStep, 24 / 120 * 60, 1e-6)
      assert.closeTo(limited.busy.judge, 1, 1e-6)
    }))

  it.live("cannot go faster than the cores that its stages share", () =>
    Effect.gen(function*() {
      const small = { ...settings, promptsPerStep: 2, promptsPerBatch: 2, k: 2, maxStaleness: 2 } // .4 s, .04 s, .1 s and 1 s
      const { bottleneck, cores, secondsAStep } = yield* simulate(costs, { ...alone, cores: 1 }, small)
      assert.closeTo(secondsAStep, 1.54, 0.02) // what the window cuts off at its ends is not what it cuts off at its beginning
      assert.closeTo(cores!, 1, 0.02)
      assert.strictEqual(bottleneck, "cores")
    }))
})
