/** What the judge's answers, and its silence, make of a step: seen in whole runs with fake stages. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Ref, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as JudgeFake from "../../layers/judge/fake.ts"
import * as SamplerFake from "../../layers/sampler/fake.ts"
import { isPreference, type Outcome, type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { withoutCycles } from "../../src/lessons/order.ts"
import { allPairs, isDuplicate } from "../../src/lessons/pairs.ts"
import { type StepOutcome, train } from "../../src/pipeline.ts"
import { Judge, JudgeBusy, type JudgeError, JudgeRefused } from "../../src/stages/Judge.ts"
import { boxes, config, finished, prompts, trained } from "../support/fake-stages.ts"

const Script = Schema.Literals(["A", "B", "tie", "invalid", "failed", "busy", "refused"])

/** Answers by a script, whatever the pictures; counts its calls and the labels among its answers. */
const scripted = (script: ReadonlyArray<typeof Script.Type>, calls = { n: 0, labels: 0 }) =>
  Layer.succeed(Judge, {
    name: "scripted",
    identity: "scripted",
    concurrency: 3,
    compare: Effect.fnUntraced(function*(): Effect.fn.Return<Verdict, JudgeError> {
      const answer = script[calls.n++ % script.length]!
      if (answer === "busy") return yield* new JudgeBusy({ message: "busy" })
      if (answer === "refused") return yield* new JudgeRefused({ message: "not a verdict" })
      if (answer === "A" || answer === "B") calls.labels++
      return new Verdict({ outcome: answer, confidence: 0.9, by: "scripted" })
    })
  })

describe("judging", () => {
  it.effect.prop(
    "every preference comes from an A, a B or the gate",
    [Schema.Array(Script).check(Schema.isMinLength(1), Schema.isMaxLength(12))],
    ([script]) =>
      Effect.gen(function*() {
        const calls = { n: 0, labels: 0 }
        const outcomes = yield* Stream.runCollect(train({ ...config, steps: 2, promptsPerStep: 2 }, prompts)).pipe(
          Effect.provide(Layer.merge(boxes(), scripted(script, calls))),
          (run) => Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(run)
            while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 minute")
            return yield* Fiber.join(fiber)
          })
        )
        let contradicted = 0
        for (const { metrics, rollout: { drawings, lessons, pairs } } of outcomes) {
          const preferences = lessons.filter(isPreference)
          const valid = new Set(drawings.filter(({ rendering }) => rendering._tag === "Rendered").map(({ candidate }) => candidate))
          const labels: ReadonlyArray<Outcome> = ["A", "B"]
          const said = pairs.filter(({ verdict }) => labels.includes(verdict.outcome))
          const labelled = [...Map.groupBy(said, ({ a }) => a.prompt.id).values()].flatMap(withoutCycles)
          contradicted += said.length - labelled.length
          assert.strictEqual(preferences.length, labelled.length)
          labelled.forEach(({ a, b, verdict }, n) => {
            const { chosen, rejected } = preferences[n]!
            assert.deepStrictEqual([chosen, rejected], verdict.outcome === "A" ? [a, b] : [b, a])
            assert.isTrue(valid.has(chosen))
            assert.strictEqual(verdict.by, valid.has(rejected) ? "scripted" : "gate")
          })
          assert.strictEqual(metrics["pairs/preferences"], labelled.length)
        }
        const judged = outcomes.flatMap(({ rollout }) => rollout.lessons.filter(isPreference)).filter(({ verdict }) => verdict.by !== "gate")
        assert.strictEqual(judged.length + contradicted, calls.labels) // one for each A or B that was said, none for anything else
      }),
    { arbitrary: { runs: 30 } }
  )

  it.effect("a busy judge is asked again, but not before it allows; then the run continues as if nothing had happened", () =>
    Effect.gen(function*() {
      const calls = yield* Ref.make(0)
      const busyOnce = Layer.effect(Judge, Effect.gen(function*() {
        const judge = yield* Judge
        return Judge.of({
          ...judge,
          concurrency: 1,
          compare: Effect.fnUntraced(function*(prompt: Prompt, a: Picture, b: Picture) {
            const n = yield* Ref.updateAndGet(calls, (n) => n + 1)
            if (n === 1) return yield* new JudgeBusy({ message: "later", retryAfter: Duration.seconds(20) })
            return yield* judge.compare(prompt, a, b)
          })
        })
      })).pipe(Layer.provide(JudgeFake.layer()))
      const one = { ...config, steps: 1 }
      const fiber = yield* Effect.forkChild(
        finished(Stream.runCollect(train(one, prompts))).pipe(Effect.provide(Layer.merge(boxes(), busyOnce)))
      )
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual(yield* Ref.get(calls), 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), yield* trained(one))
    }))

  it.effect("a judge that stays busy is given up after forty retries", () =>
    Effect.gen(function*() {
      const calls = { n: 0, labels: 0 }
      const fiber = yield* Effect.forkChild(
        Stream.runCollect(train({ ...config, steps: 1, promptsPerStep: 1, k: 2, seed: 1 }, prompts)).pipe(
          Effect.provide(Layer.merge(boxes(), scripted(["busy"], calls)))
        )
      )
      yield* TestClock.adjust("30 minutes")
      const [{ metrics }] = (yield* Fiber.join(fiber)) as [StepOutcome]
      assert.deepStrictEqual([calls.n, metrics["judge/asked"], metrics["judge/failed"], metrics["pairs/preferences"]], [41, 1, 1, 0])
    }))

  it.effect("identical drawings are never asked about", () =>
    Effect.gen(function*() {
      const { outcomes } = yield* finished(Stream.runCollect(train(config, prompts))).pipe(
        Effect.provide(Layer.merge(
          Layer.merge(boxes(), SamplerFake.layer({ spread: 0, cutOff: 0 })),
          JudgeFake.layer()
        ))
      )
      for (const { metrics, rollout } of outcomes) {
        const groups = [...Map.groupBy(rollout.drawings, ({ candidate }) => candidate.prompt.id).values()]
        const duplicates = groups.flatMap(allPairs).filter(isDuplicate).length
        assert.isAbove(duplicates, 0)
        assert.strictEqual(metrics["pairs/duplicate"], duplicates)
        assert.isTrue(rollout.pairs.every(({ a, b }) => a.svg !== b.svg))
      }
    }))
})

describe("pairs of invalid drawings", () => {
  const cutOff = (spread: number) =>
    finished(Stream.runCollect(train({ ...config, steps: 1 }, prompts))).pipe(
      Effect.map(({ outcomes, updates }) => ({ ...outcomes[0]!, updates })),
      Effect.provide(Layer.mergeAll(boxes(), SamplerFake.layer({ cutOff: 1, spread }), scripted(["A"])))
    )

  it.effect("are recorded, and nobody is asked", () =>
    Effect.gen(function*() {
      const { metrics, updates } = yield* cutOff(0.15)
      assert.isAbove(metrics["pairs/invalid"]!, 0)
      assert.deepStrictEqual([metrics["judge/asked"], metrics["pairs/preferences"], metrics["svg/valid"], updates], [0, 0, 0, 0])
    }))

  it.effect("with the same text are duplicates", () =>
    Effect.gen(function*() {
      const { metrics, rollout } = yield* cutOff(0)
      assert.isAbove(metrics["pairs/duplicate"]!, 0)
      assert.strictEqual(rollout.pairs.length, 24 - metrics["pairs/duplicate"]!)
    }))
})
