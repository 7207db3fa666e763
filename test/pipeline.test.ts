import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Ref, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as BufferMemory from "../layers/buffer/memory.ts"
import * as BufferSqlite from "../layers/buffer/sqlite.ts"
import * as JudgeFake from "../layers/judge/fake.ts"
import * as OptimizerFake from "../layers/optimizer/fake.ts"
import * as RendererCircles from "../layers/renderer/circles.ts"
import * as SamplerFake from "../layers/sampler/fake.ts"
import { isPreference, type Outcome, type Picture, type Prompt, Verdict } from "../src/domain.ts"
import type { Parameters } from "../src/engine/weights/tensor.ts"
import { decideRenderings } from "../src/lessons/decide.ts"
import { allPairs, isDuplicate } from "../src/lessons/pairs.ts"
import { defaultPipeline, type PipelineConfig, type StepOutcome, train } from "../src/pipeline.ts"
import { asksForText } from "../src/prompts.ts"
import { promptsOfStep } from "../src/steps/batches.ts"
import { sequential } from "../src/sequential.ts"
import { withoutCycles } from "../src/lessons/order.ts"
import { Judge, JudgeBusy, type JudgeError, JudgeRefused, JudgeStopped } from "../src/stages/Judge.ts"
import { Optimizer } from "../src/stages/Optimizer.ts"
import { Policy } from "../src/stages/Policy.ts"
import { Renderer } from "../src/stages/Renderer.ts"
import { Sampler } from "../src/stages/Sampler.ts"
import { inked, prompt } from "./stages/make.ts"

const prompts = Array.from({ length: 11 }, (_, n) => prompt(`thing ${n}`))
const config: PipelineConfig = { ...defaultPipeline, steps: 6, seed: 5, promptsPerStep: 4, promptsPerBatch: 2, maxStaleness: 0 }

interface Delays {
  readonly sample?: number | ((step: number) => number)
  readonly judge?: number
  readonly train?: number | ((version: number) => number)
}

/** All boxes but the judge. */
const boxes = ({ sample = 0, train = 0 }: Delays = {}, keep = 4) => {
  const initial = SamplerFake.initialPolicy()
  return Layer.mergeAll(
    SamplerFake.layer({ delay: sample }),
    RendererCircles.layer({ size: 16 }),
    BufferMemory.layer({ maxStaleness: keep - 1, staleWeight: 0.9 }),
    OptimizerFake.layer({ initial, delay: train }),
    Policy.layer(initial, keep)
  )
}
const stages = (delays: Delays = {}, keep = 4) =>
  Layer.merge(boxes(delays, keep), JudgeFake.layer({ delay: delays.judge ?? 0 }))

/** Lets virtual time run until the effect ends. */
const inVirtualTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("50 millis")
    return yield* Fiber.join(fiber)
  })

const plain = (parameters: Parameters) => [...parameters].map(([name, { data }]) => [name, [...data]])

/** All that must be equal between two runs: everything but the clock's numbers. */
const timeless = (outcomes: ReadonlyArray<StepOutcome>) =>
  outcomes.map(({ metrics, policyVersion, rollout, step }) => ({
    step,
    policyVersion,
    rollout: { ...rollout, seconds: undefined },
    metrics: Object.fromEntries(Object.entries(metrics).filter(([name]) => !name.startsWith("seconds/")))
  }))

const finished = <E, R>(run: Effect.Effect<ReadonlyArray<StepOutcome>, E, R>) =>
  Effect.gen(function*() {
    const outcomes = yield* run
    const { parameters, updates, version } = yield* (yield* Optimizer).state
    return { outcomes: timeless(outcomes), parameters: plain(parameters), updates, version }
  })
const trained = (config: PipelineConfig, delays: Delays = {}) =>
  finished(Stream.runCollect(train(config, prompts))).pipe(Effect.provide(stages(delays)))

describe("promptsOfStep", () => {
  const of = (step: number, promptsPerStep = 4, seed = 1) =>
    promptsOfStep(prompts, { promptsPerStep, seed }, step).map(({ id }) => id)

  it("repeats no prompt within an epoch and shuffles each epoch anew", () => {
    for (const epoch of [0, 1, 2]) {
      const ids = [...of(2 * epoch), ...of(2 * epoch + 1)] // 11 prompts: two steps of 4, three prompts wait
      assert.strictEqual(new Set(ids).size, 8)
    }
    assert.notDeepEqual(of(0), of(2))
    assert.notDeepEqual(of(0), of(0, 4, 2))
    assert.deepStrictEqual(of(5), of(5))
  })

  it("comes to every prompt sooner or later", () =>
    assert.strictEqual(new Set(Array.from({ length: 40 }, (_, step) => of(step)).flat()).size, 11))

  it("takes all prompts when there are too few, none of none", () => {
    assert.strictEqual(new Set(of(3, 50)).size, 11)
    assert.deepStrictEqual(promptsOfStep([], { promptsPerStep: 4, seed: 1 }, 3), [])
  })
})

describe("asksForText", () => {
  for (const text of ["the word HELLO", "a sign that reads STOP", "a card that says \"hi\"", "the letter A", "a banner 'open'"]) {
    it(`yes: ${text}`, () => assert.isTrue(asksForText(prompt(text))))
  }
  for (const text of ["a cat", "a sword", "a textile shop", "the dog's bone and the cat's hat", "a stop sign"]) {
    it(`no: ${text}`, () => assert.isFalse(asksForText(prompt(text))))
  }
})

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

  it.effect("a busy judge is asked again, not before it allows; then the run goes on as if nothing had been", () =>
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
      yield* Effect.sleep("300 millis")
      assert.isAbove(yield* Ref.get(seen), 0)
      assert.isAbove(yield* Ref.get(under), 0)
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
