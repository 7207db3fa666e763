/** A curriculum in runs of the whole pipeline with fake stages: circles that grow until their stages are passed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Ref, Stream } from "effect"
import * as JudgeFake from "../../layers/judge/fake.ts"
import { makeCourse, type Stage } from "../../src/curriculum/course.ts"
import { measureStage } from "../../src/curriculum/measure.ts"
import { type PipelineConfig, train } from "../../src/pipeline.ts"
import { Policy } from "../../src/stages/Policy.ts"
import { Sampler } from "../../src/stages/Sampler.ts"
import type { Scorer } from "../../src/stages/Scorer.ts"
import type { StepOutcome } from "../../src/steps/metrics.ts"
import { prompt } from "../stages/make.ts"
import { config as usual, type Delays, finished, inVirtualTime, stages as boxes } from "../support/fake-stages.ts"
import { sequential } from "../sequential.ts"

const ink: Scorer = { name: "ink", score: (_, picture) => Effect.succeed(JudgeFake.ink(picture)) }
const texts = (name: string, n: number) => Array.from({ length: n }, (_, i) => prompt(`${name} ${i}`))
const stage = (name: string, threshold: number, more: Partial<Stage> = {}): Stage => ({
  name, threshold, measure: "score", evaluations: 1, every: 1, drawings: 12, keep: 0.25, otherwise: "widen",
  prompts: texts(name, 9), heldOut: texts(`held-out ${name}`, 3), ...more
})
/** The first policy inks about 0.05 of a picture, and the judge likes 0.4. */
const stages = [stage("sun", 0.07), stage("plum", 0.1, { evaluations: 2 }), stage("moon", 0.9)]
const config: PipelineConfig = { ...usual, steps: 20 }

const courseOf = (config: PipelineConfig, all = stages, past: ReadonlyArray<StepOutcome> = []) =>
  Effect.map(makeCourse({ stages: all, config, scorers: [ink], past }), ({ course }) => course)
const run = (config: PipelineConfig, all = stages, past?: ReadonlyArray<StepOutcome>) =>
  Stream.unwrap(Effect.map(courseOf(config, all, past), (course) => train(config, course)))
const trained = (config: PipelineConfig, delays: Delays = {}) =>
  inVirtualTime(finished(Stream.runCollect(run(config))).pipe(Effect.provide(boxes(delays))))
const stagesOf = (outcomes: ReadonlyArray<Pick<StepOutcome, "metrics">>) => outcomes.map(({ metrics }) => metrics["curriculum/stage"]).join("")

describe("a run with a curriculum", () => {
  it.effect("passes its stages by itself, and its metrics tell", () =>
    Effect.gen(function*() {
      const { outcomes } = yield* trained(config)
      assert.match(stagesOf(outcomes), /^1+2+3+$/)
      for (const [n, { metrics, rollout: { drawings } }] of outcomes.entries()) {
        const of = (name: string) => drawings.filter(({ candidate }) => candidate.prompt.text.startsWith(name)).length / config.k
        assert.strictEqual(drawings.length, 4 * config.k)
        assert.strictEqual(of("held-out"), 0)
        assert.deepStrictEqual(
          [of("sun") + of("plum") * 10 + of("moon") * 100],
          metrics["curriculum/stage"] === 1 ? [4] : metrics["curriculum/stage"] === 2 ? [31] : [300 + (of("sun") === 1 ? 1 : 10)]
        )
        assert.strictEqual(metrics["curriculum/score"] === undefined, n === 0)
      }
    }))

  it.effect("at staleness 0 equals the sequential run bit for bit", () =>
    Effect.gen(function*() {
      const plainly = yield* finished(Effect.flatMap(courseOf(config), (course) => sequential(config, course))).pipe(Effect.provide(boxes()))
      assert.deepStrictEqual(yield* trained(config, { sample: 30, judge: 20, train: 10 }), plainly)
      assert.match(stagesOf(plainly.outcomes), /^1+2+3+$/)
    }))

  for (const maxStaleness of [1, 2]) {
    it.effect(`at staleness ${maxStaleness}, timing changes nothing`, () =>
      Effect.gen(function*() {
        const settings = { ...config, maxStaleness }
        const first = yield* trained(settings, { sample: (step) => 10 + 70 * Math.abs(step % 2), judge: 5, train: 200 })
        const second = yield* trained(settings, { sample: 1, judge: 90, train: (version) => 5 + 60 * (version % 3) })
        assert.deepStrictEqual(second, first)
        assert.match(stagesOf(first.outcomes), /^1+2+3+$/)
      }))

    it.effect(`at staleness ${maxStaleness}, a run that is resumed at any step goes on as it would have`, () =>
      Effect.gen(function*() {
        const settings = { ...config, maxStaleness }
        const whole = yield* trained(settings)
        for (let firstStep = 1; firstStep < settings.steps; firstStep++) {
          const resumed = yield* Effect.gen(function*() {
            const before = yield* Stream.runCollect(run({ ...settings, steps: firstStep }))
            const after = yield* Stream.runCollect(run({ ...settings, firstStep, oldestVersion: Math.max(0, firstStep - maxStaleness) }, stages, before))
            return [...before, ...after]
          }).pipe(finished, Effect.provide(boxes()))
          assert.deepStrictEqual(resumed, whole)
        }
      }))
  }

  it.effect("draws on one thing at a time, and is never further ahead than without", () =>
    Effect.gen(function*() {
      const settings = { ...config, maxStaleness: 1 }
      const under = yield* Ref.make(0)
      const seen: Array<{ readonly under: number; readonly step: number; readonly ahead: number }> = []
      const watched = Layer.effect(Sampler, Effect.gen(function*() {
        const [sampler, policy] = [yield* Sampler, yield* Policy]
        return Sampler.of({
          ...sampler,
          sample: (request) =>
            Effect.gen(function*() {
              const now = yield* Ref.updateAndGet(under, (n) => n + 1)
              const rollout = request.step < 0 ? -2 - request.step : request.step
              seen.push({ under: now, step: request.step, ahead: rollout + 1 - (yield* policy.latest).version })
              return yield* sampler.sample(request)
            }).pipe(Effect.ensuring(Ref.update(under, (n) => n - 1)))
        })
      })).pipe(Layer.provideMerge(boxes({ sample: 20, train: 300 }, 2)))
      yield* inVirtualTime(Stream.runDrain(run(settings)).pipe(Effect.provide(watched)))
      assert.isAbove(seen.filter(({ step }) => step < -1).length, 5)
      assert.strictEqual(Math.max(...seen.map(({ under }) => under)), 1)
      assert.strictEqual(Math.max(...seen.map(({ ahead }) => ahead)), 2)
    }))

  it.effect("ends where a stage that never got there says so", () =>
    Effect.gen(function*() {
      const hard = [stage("sun", 0.9, { every: 2, max_steps: 5, otherwise: "stop" }), stage("plum", 0.1)]
      const { course, told, toldAtTheEnd } = yield* makeCourse({ stages: hard, config, scorers: [ink], past: [] })
      const outcomes = yield* Stream.runCollect(train(config, course)).pipe(Effect.provide(boxes()))
      assert.strictEqual(stagesOf(outcomes), "11111")
      for (const outcome of outcomes) assert.deepStrictEqual(yield* told(outcome), [])
      const [end, ...more] = yield* toldAtTheEnd
      assert.deepStrictEqual([end!.step, end!.alarming, more], [4, true, []])
      assert.match(end!.message, /^Stage 1 of 2 \("sun"\) never got there in 5 steps: score is 0\.\d\d, and 0\.9 was asked for in one evaluation\. The run ends here\.$/)
    }))

  it.effect("tells of each stage once, in the process that reports it", () =>
    Effect.gen(function*() {
      const outcomes = yield* Stream.runCollect(run(config)).pipe(Effect.provide(boxes()))
      const half = outcomes.findIndex(({ metrics }) => metrics["curriculum/stage"] === 2) + 1
      const first = yield* makeCourse({ stages, config, scorers: [ink], past: [] })
      const second = yield* makeCourse({ stages, config, scorers: [ink], past: outcomes.slice(0, half) })
      const told = [
        ...yield* Effect.forEach(outcomes.slice(0, half), first.told),
        ...yield* Effect.forEach(outcomes.slice(half), second.told)
      ].flat()
      assert.deepStrictEqual(told.map(({ alarming, message }) => [alarming, /"\w+"\) is passed/.exec(message)?.[0]]), [[false, '"sun") is passed'], [false, '"plum") is passed']])
      assert.deepStrictEqual(second.toldBefore, told.slice(0, 1))
      assert.match((yield* second.toldAtTheEnd)[0]!.message, /^Stage 3 of 3 \("moon"\) was not passed before the run ended/)
    }))
})

describe("an evaluation", () => {
  const measured = (more: Partial<Parameters<typeof measureStage>[0]>) =>
    Effect.gen(function*() {
      const policy = yield* (yield* Policy).latest
      return yield* measureStage({
        measure: "score", prompts: texts("held-out", 3), drawings: 7, scorers: [ink], seed: 1, rollout: 4, policy, promptsPerBatch: 2, ...more
      })
    }).pipe(Effect.provide(boxes()))

  it.effect("is a function of seed, rollout and policy, whatever the batches", () =>
    Effect.gen(function*() {
      const value = yield* measured({})
      assert.strictEqual(yield* measured({ promptsPerBatch: 32 }), value)
      for (const more of [{ seed: 2 }, { rollout: 5 }]) assert.notStrictEqual(yield* measured(more), value)
    }))

  it.effect("draws at least as often as asked, each prompt as often, and counts what does not render as nothing", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const counting: Scorer = { name: "one", score: ({ text }) => Effect.sync(() => (asked.push(text), 1)) }
      const [valid, score, right] = [
        yield* measured({ measure: "validity", drawings: 60 }),
        yield* measured({ drawings: 60, scorers: [counting] }),
        yield* measured({ measure: "right", drawings: 60, scorers: [counting] })
      ]
      assert.isBelow(valid, 1)
      assert.deepStrictEqual([score, right], [valid, valid])
      assert.strictEqual(asked.length / 2 / valid, 60)
    }))

  it.effect("asks the first scorer that knows all the prompts", () =>
    Effect.gen(function*() {
      const partial: Scorer = { name: "partial", score: ({ text }) => Effect.succeed(text.endsWith("1") ? undefined : 5) }
      assert.strictEqual(yield* measured({ scorers: [partial, ink] }), yield* measured({}))
      assert.strictEqual(yield* measured({ scorers: [partial] }), 0)
    }))
})
