import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Ref, Stream } from "effect"
import * as BufferSqlite from "../layers/buffer/sqlite.ts"
import * as JudgeFake from "../layers/judge/fake.ts"
import { type PipelineConfig, train } from "../src/pipeline.ts"
import { sequential } from "./sequential.ts"
import { Judge, JudgeStopped } from "../src/stages/Judge.ts"
import { Optimizer } from "../src/stages/Optimizer.ts"
import { Policy } from "../src/stages/Policy.ts"
import { Renderer } from "../src/stages/Renderer.ts"
import { Sampler } from "../src/stages/Sampler.ts"
import { boxes, config, type Delays, finished, inVirtualTime, prompts, stages, trained } from "./support/fake-stages.ts"

const equalsSequential = (settings: PipelineConfig) =>
  Effect.gen(function*() {
    const plainly = yield* finished(sequential(settings, prompts)).pipe(Effect.provide(stages()))
    const streamed = yield* inVirtualTime(trained(settings, { sample: 30, judge: 20, train: 10 }))
    assert.deepStrictEqual(streamed, plainly)
    assert.strictEqual(streamed.outcomes.length, 6)
    assert.strictEqual(streamed.version, 6)
    assert.isAbove(streamed.updates, 0)
  })

describe("determinism", () => {
  for (const pairs of ["all", "best-worst", "top-bottom"] as const) {
    it.effect(`staleness 0 equals the sequential run bit for bit (${pairs})`, () =>
      equalsSequential({ ...config, pairs, maxPairsPerPrompt: 5 }))
  }

  for (const comparisons of ["anchor", "swiss"] as const) {
    it.effect(`and with ${comparisons} comparisons, ties trained, soft labels, weighted pairs`, () =>
      equalsSequential({ ...config, comparisons, ties: "train", labels: "soft", pairWeighting: "gap-diversity" }))
  }

  for (const maxStaleness of [1, 2]) {
    it.effect(`staleness ${maxStaleness}: timing changes nothing`, () =>
      Effect.gen(function*() {
        const settings = { ...config, maxStaleness }
        const first = yield* inVirtualTime(trained(settings, { sample: (step) => 10 + 70 * (step % 2), judge: 5, train: 200 }))
        const second = yield* inVirtualTime(trained(settings, { sample: 1, judge: 90, train: (version) => 5 + 60 * (version % 3) }))
        assert.deepStrictEqual(second, first)
      }))

    it.effect(`staleness ${maxStaleness}: rollout n comes from version max(0, n - ${maxStaleness})`, () =>
      Effect.gen(function*() {
        const { outcomes } = yield* trained({ ...config, maxStaleness })
        for (const { metrics, policyVersion, rollout, step } of outcomes) {
          const version = Math.max(0, step - maxStaleness)
          assert.strictEqual(policyVersion, version)
          assert.isTrue(rollout.drawings.every(({ candidate }) => candidate.policyVersion === version))
          assert.strictEqual(metrics["pairs/age"], step - version)
        }
      }))
  }

  it.effect("a batch that is judged sooner does not overtake the one before", () =>
    Effect.gen(function*() {
      const slowFirst = Layer.effect(Judge, Judge.useSync((judge) => ({
        ...judge,
        concurrency: 64,
        compare: (p, a, b) => Effect.delay(judge.compare(p, a, b), Number(p.id.split(" ").at(-1)) % 2 === 0 ? 200 : 1)
      }))).pipe(Layer.provideMerge(stages()))
      const settings = { ...config, promptsPerBatch: 1 }
      const streamed = yield* inVirtualTime(
        finished(Stream.runCollect(train(settings, prompts))).pipe(Effect.provide(slowFirst))
      )
      assert.deepStrictEqual(streamed, yield* trained(settings))
    }))

  it.effect("the SQLite buffer trains the same bits as the memory one", () =>
    Effect.gen(function*() {
      const settings = { ...config, maxStaleness: 1 }
      const sqlite = BufferSqlite.layer({ path: ":memory:", maxStaleness: 3, staleWeight: 0.9 })
      const stored = yield* finished(Stream.runCollect(train(settings, prompts))).pipe(
        Effect.provide(Layer.merge(stages(), sqlite))
      )
      assert.deepStrictEqual(stored, yield* trained(settings))
    }))

  it.effect("a resumed run draws from the versions the unbroken one drew from", () =>
    Effect.gen(function*() {
      const settings = { ...config, maxStaleness: 1 }
      const whole = yield* trained(settings)
      const resumed = yield* Effect.gen(function*() {
        const before = yield* Stream.runCollect(train({ ...settings, steps: 3 }, prompts))
        const after = yield* Stream.runCollect(train({ ...settings, firstStep: 3, oldestVersion: 2 }, prompts))
        return [...before, ...after]
      }).pipe(finished, Effect.provide(stages()))
      assert.deepStrictEqual(resumed, whole)
    }))
})

describe("metrics", () => {
  it.effect("add up", () =>
    Effect.gen(function*() {
      const { outcomes } = yield* trained(config)
      for (const { metrics: m, rollout } of outcomes) {
        assert.strictEqual(rollout.drawings.length, 16)
        assert.strictEqual(m["pairs/total"], 4 * 6)
        assert.strictEqual(m["pairs/total"], m["pairs/duplicate"]! + m["pairs/invalid"]! + m["pairs/gate"]! + m["judge/asked"]!)
        assert.strictEqual(m["pairs/preferences"], m["pairs/gate"]! + m["judge/asked"]! - m["judge/ties"]! - m["judge/failed"]!)
        assert.strictEqual(m["pairs/trained"], m["pairs/preferences"])
        assert.closeTo(m["svg/valid"]!, 1 - m["svg/rejected/no-svg"]! / 16, 1e-12)
        const nats = rollout.drawings.flatMap(({ candidate }) => candidate.logps).reduce((a, b) => a - b, 0)
        assert.closeTo(m["objective/entropy"]!, nats / 16, 1e-9)
        assert.isTrue(Object.values(m).every(Number.isFinite))
      }
      const rejected = outcomes.map(({ metrics }) => metrics["svg/rejected/no-svg"]!).reduce((a, b) => a + b)
      assert.isAbove(rejected, 0) // cut off drawings stay in the rollout
    }))

  it.effect("training moves the drawings towards what the judge likes", () =>
    Effect.gen(function*() {
      const { parameters } = yield* trained({ ...config, steps: 30, maxStaleness: 1 })
      const target = Math.sqrt(0.4 * 4 / Math.PI) // radius of a circle that inks 0.4 of the canvas
      assert.closeTo(Number((parameters[0]![1] as ReadonlyArray<number>)[0]), target, 0.1)
    }))

  it.effect("no prompts, no steps", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Stream.runCollect(train(config, [])), [])
    }).pipe(Effect.provide(stages())))
})

/** Counts work under way in a box, and lets go only in a finalizer. */
const held = (under: Ref.Ref<number>) => <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Ref.update(under, (n) => n + 1),
    () => work,
    () => Effect.andThen(Effect.sleep("5 millis"), Ref.update(under, (n) => n - 1))
  )

const heldBoxes = (under: Ref.Ref<number>, delays: Delays) => {
  const hold = held(under)
  return Layer.mergeAll(
    Layer.effect(Sampler, Sampler.useSync((sampler) => ({ ...sampler, sample: (request) => hold(sampler.sample(request)) }))),
    Layer.effect(Renderer, Renderer.useSync((renderer) => ({ ...renderer, render: (svg, o) => hold(renderer.render(svg, o)) }))),
    Layer.effect(Judge, Judge.useSync((judge) => ({ ...judge, compare: (p, a, b) => hold(judge.compare(p, a, b)) }))),
    Layer.effect(Optimizer, Optimizer.useSync((optimizer) => ({ ...optimizer, step: (pairs) => hold(optimizer.step(pairs)) })))
  ).pipe(Layer.provideMerge(stages(delays)))
}

describe("ends", () => {
  it.live("JudgeStopped ends the run with its error, after everything was let go", () =>
    Effect.gen(function*() {
      const under = yield* Ref.make(0)
      const calls = yield* Ref.make(0)
      const broke = Layer.effect(Judge, Judge.useSync((judge) => ({
        ...judge,
        compare: (p, a, b) =>
          Effect.flatMap(Ref.updateAndGet(calls, (n) => n + 1), (n) =>
            n === 30 ? Effect.fail(new JudgeStopped({ message: "no credit" })) : judge.compare(p, a, b))
      }))).pipe(Layer.provideMerge(heldBoxes(under, { sample: 10, judge: 5, train: 10 })))
      const error = yield* Stream.runDrain(train({ ...config, maxStaleness: 2 }, prompts)).pipe(
        Effect.ensuring(Effect.map(Ref.get(under), (n) => assert.strictEqual(n, 0))),
        Effect.provide(broke),
        Effect.flip
      )
      assert.strictEqual(error._tag, "JudgeStopped")
      assert.strictEqual(error.message, "no credit")
    }))

  it.live("interruption lets go of everything", () =>
    Effect.gen(function*() {
      const under = yield* Ref.make(0)
      const seen = yield* Ref.make(0)
      const fiber = yield* train({ ...config, steps: 1000, maxStaleness: 2 }, prompts).pipe(
        Stream.runForEach(() => Ref.update(seen, (n) => n + 1)),
        Effect.provide(heldBoxes(under, { sample: 10, judge: 5, train: 10 })),
        Effect.forkChild
      )
      while ((yield* Ref.get(seen)) === 0 || (yield* Ref.get(under)) === 0) yield* Effect.sleep("10 millis")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* Ref.get(under), 0)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }))
})

describe("overlap", () => {
  /** Seconds a step takes once the pipeline is full: stages of 0.3 s, 1 s (judge) and 0.5 s, in virtual time. */
  const steady = (maxStaleness: number) =>
    Effect.gen(function*() {
      const outcomes = yield* inVirtualTime(
        Stream.runCollect(train({ ...config, steps: 8, maxStaleness }, prompts)).pipe(
          Effect.provide(Layer.mergeAll(boxes({ sample: 150, train: 500 }), slowJudge))
        )
      )
      const last = outcomes.slice(4).map(({ metrics }) => metrics["seconds/step"]!)
      return last.reduce((a, b) => a + b) / last.length
    })
  /** A second for the up to 24 pairs of a step: 42 ms each, one at a time. */
  const slowJudge = JudgeFake.layer({ delay: 42, concurrency: 1 })

  it.effect("a step takes about as long as its slowest stage, from staleness 1 on", () =>
    Effect.gen(function*() {
      const [alone, one, two] = [yield* steady(0), yield* steady(1), yield* steady(2)]
      assert.isAtLeast(alone, 1.4)
      assert.isAtMost(one, 1.15)
      assert.isAtMost(two, 1.15)
    }))

  for (const maxStaleness of [0, 1, 2]) {
    it.effect(`staleness ${maxStaleness}: sampling is never further ahead, trained steps wait for the consumer`, () =>
      Effect.gen(function*() {
        const ahead: Array<number> = []
        const watched = Layer.effect(Sampler, Effect.gen(function*() {
          const [sampler, policy] = [yield* Sampler, yield* Policy]
          return Sampler.of({
            ...sampler,
            sample: (request) =>
              Effect.andThen(
                Effect.map(policy.latest, ({ version }) => ahead.push(request.step + 1 - version)),
                sampler.sample(request)
              )
          })
        })).pipe(Layer.provideMerge(stages({ train: 300 }, maxStaleness + 1)))
        yield* inVirtualTime(
          train({ ...config, maxStaleness }, prompts).pipe(
            Stream.runForEach(({ step }) =>
              Effect.gen(function*() {
                yield* Effect.sleep("1 second")
                assert.strictEqual((yield* (yield* Optimizer).state).version, step + 1)
              })
            ),
            Effect.provide(watched)
          )
        )
        assert.strictEqual(Math.max(...ahead), maxStaleness + 1)
      }))
  }
})
