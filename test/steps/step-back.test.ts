/**
 * How a run goes back, with an optimizer that says when it runs away: the fake one with other metrics. Its own loss, a
 * distance, is no sign.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Ref, Stream } from "effect"
import * as SamplerFake from "../../layers/sampler/fake.ts"
import { backTo, metricOfSign, rateMetric, stoppedMetric } from "../../src/evaluation/divergence.ts"
import { stageMetric } from "../../src/domain.ts"
import { type StepOutcome, train } from "../../src/pipeline.ts"
import { LossNotFinite, Optimizer } from "../../src/stages/Optimizer.ts"
import { Policy, type PolicySnapshot } from "../../src/stages/Policy.ts"
import { makeStepBack, type StepBackOptions } from "../../src/steps/step-back.ts"
import { config, prompts, stages } from "../support/fake-stages.ts"

const start = SamplerFake.initialPolicy()
const [steps, maxStaleness] = [24, 1]
const settings = { ...config, steps, maxStaleness }

/** The steps at which the loss is not finite, or the policy moves too far; `restore` undefined takes that from the optimizer. */
interface Bad {
  readonly moved?: (step: number) => boolean
  readonly notFinite?: (step: number) => boolean
  readonly restores?: boolean
}
const badly = ({ moved = () => false, notFinite = () => false, restores = true }: Bad) =>
  Layer.effect(Optimizer, Effect.gen(function*() {
    const { restore, ...optimizer } = yield* Optimizer
    return {
      ...optimizer,
      ...(restores && restore !== undefined ? { restore } : {}),
      step: Effect.fnUntraced(function*(lessons) {
        const { version } = yield* optimizer.state
        if (notFinite(version)) return yield* new LossNotFinite({ message: "the loss is NaN" })
        const stepped = yield* optimizer.step(lessons)
        return { ...stepped, metrics: { ...stepped.metrics, "objective/kl": moved(version) ? -1e6 : 0 } }
      })
    }
  }))

/** Outcomes until training stops, and each published version. */
const run = (bad: Bad, of: Partial<StepBackOptions> = {}) =>
  Effect.gen(function*() {
    const published = yield* Ref.make<ReadonlyArray<PolicySnapshot>>([start])
    const policy = yield* Policy
    const { guard, kept } = yield* makeStepBack({ drawings: 16, losses: false, onDivergence: "step-back", keeps: true, start, reports: [], ...of })
    const watched = { ...policy, publish: (snapshot: PolicySnapshot) => Effect.andThen(Ref.update(published, (all) => [...all, snapshot]), policy.publish(snapshot)) }
    const outcomes = yield* train(settings, prompts, undefined, guard).pipe(
      Stream.takeUntil(({ metrics }) => metrics[stoppedMetric] === 1),
      Stream.runCollect,
      Effect.provideService(Policy, watched)
    )
    const versions = yield* Ref.get(published)
    return { outcomes, kept: yield* kept, versions, state: yield* Optimizer.useSync((optimizer) => optimizer.state).pipe(Effect.flatten) }
  }).pipe(Effect.provide(badly(bad).pipe(Layer.provideMerge(stages()))))

const at = (step: number) => (now: number): boolean => now === step
const backs = (outcomes: ReadonlyArray<StepOutcome>) => outcomes.flatMap(({ metrics, step }) => metrics[backTo] === undefined ? [] : [[step, metrics[backTo], metrics[rateMetric]]])
const radius = ({ parameters }: PolicySnapshot) => SamplerFake.radiusOf(parameters)

describe("stepping back", () => {
  it.live("gives the step's version the parameters of the last good state, and trains nothing drawn since", () =>
    Effect.gen(function*() {
      const { outcomes, state, versions } = yield* run({ moved: at(12) })
      assert.deepStrictEqual(versions.map(({ version }) => version), Array.from({ length: steps + 1 }, (_, n) => n))
      assert.deepStrictEqual(backs(outcomes), [[12, 5, 0.25]])
      assert.strictEqual(radius(versions[13]!), radius(versions[5]!))
      assert.notStrictEqual(radius(versions[12]!), radius(versions[5]!))
      assert.strictEqual(state.rate, 0.25)
      const trained = (step: number) => outcomes[step]!.metrics["pairs/trained"]!
      assert.isAbove(trained(12), 0)
      assert.strictEqual(trained(13), 0) // drawn from version 12
      assert.isAbove(outcomes[13]!.metrics["pairs/stale"]!, 0)
      assert.isAbove(trained(14), 0) // drawn from version 13
      assert.strictEqual(radius(versions[14]!), radius(versions[13]!))
    }))

  it.live("goes to the start if it happens again before a newer state is good, and to a newer one after that", () =>
    Effect.gen(function*() {
      // A state is kept at version 15 and at 20; the one of 15 is good from 20 on.
      const again = yield* run({ moved: (step) => step === 12 || step === 17 })
      assert.deepStrictEqual(backs(again.outcomes), [[12, 5, 0.25], [17, 0, 0.0625]])
      assert.strictEqual(radius(again.versions[18]!), radius(start))
      const later = yield* run({ moved: (step) => step === 12 || step === 22 })
      assert.deepStrictEqual(backs(later.outcomes), [[12, 5, 0.25], [22, 15, 0.0625]])
    }))

  it.live("does not, where fewer drawings render because a curriculum widens", () =>
    Effect.gen(function*() {
      const { outcomes } = yield* run({})
      const signs = Effect.fnUntraced(function*(widens: boolean) {
        const { guard } = yield* makeStepBack({ drawings: 16, losses: false, onDivergence: "step-back", keeps: true, start, reports: [] })
        return yield* Effect.forEach(outcomes, ({ rollout, step }) =>
          Effect.map(
            guard.step({
              ...rollout,
              ...(widens ? { courseMetrics: { [stageMetric]: step < 12 ? 1 : 2 } } : {}),
              drawings: step < 12 ? rollout.drawings : rollout.drawings.map(({ candidate }) => ({ candidate, rendering: { _tag: "Rejected", reason: "malformed", detail: "cut off" } }))
            }, Effect.succeed({ snapshot: start, metrics: {} })),
            ({ metrics }) => metrics[metricOfSign("validity")] ?? 0
          ))
      })
      assert.strictEqual((yield* signs(false).pipe(Effect.provide(stages()))).indexOf(1), 13)
      assert.notInclude(yield* signs(true).pipe(Effect.provide(stages())), 1)
    }))

  it.live("goes to the start where no states are kept", () =>
    Effect.gen(function*() {
      const { kept, outcomes } = yield* run({ moved: at(12) }, { keeps: false })
      assert.deepStrictEqual(backs(outcomes), [[12, 0, 0.25]])
      assert.deepStrictEqual(kept, {})
    }))

  it.live("ends after three times, with a good state", () =>
    Effect.gen(function*() {
      const { outcomes, versions } = yield* run({ moved: (step) => step >= 3 })
      assert.deepStrictEqual(backs(outcomes).map(([, to, rate]) => [to, rate]), [[0, 1 / 4], [0, 1 / 16], [0, 1 / 64], [0, 1 / 64]])
      assert.isBelow(outcomes.length, steps)
      assert.strictEqual(outcomes.at(-1)!.metrics[stoppedMetric], 1)
      assert.strictEqual(radius(versions[outcomes.length]!), radius(start))
    }))

  it.live("ends at once where it may not go on", () =>
    Effect.gen(function*() {
      const { outcomes, versions } = yield* run({ moved: at(12) }, { onDivergence: "stop" })
      assert.lengthOf(outcomes, 13)
      assert.deepInclude(outcomes[12]!.metrics, { [stoppedMetric]: 1, [backTo]: 5, [metricOfSign("moved")]: 1 })
      assert.strictEqual(radius(versions[13]!), radius(versions[5]!))
    }))

  it.live("only tells where it may not step back, or the optimizer cannot", () =>
    Effect.gen(function*() {
      for (const [bad, of] of [[{ moved: at(12) }, { onDivergence: "tell" }], [{ moved: at(12), restores: false }, {}]] as const) {
        const { outcomes, state } = yield* run(bad, of)
        assert.lengthOf(outcomes, steps)
        assert.deepStrictEqual(backs(outcomes), [])
        assert.strictEqual(outcomes[12]!.metrics[metricOfSign("moved")], 1)
        assert.strictEqual(state.rate ?? 1, 1)
      }
    }))

  it.live("makes up for a loss that is not finite, which ends a run without it", () =>
    Effect.gen(function*() {
      const { outcomes } = yield* run({ notFinite: at(12) })
      assert.lengthOf(outcomes, steps)
      assert.deepStrictEqual(backs(outcomes), [[12, 5, 0.25]])
      assert.notProperty(outcomes[12]!.metrics, "loss")
      const bare = yield* train(settings, prompts).pipe(Stream.runCollect, Effect.flip, Effect.provide(badly({ notFinite: at(12) }).pipe(Layer.provideMerge(stages()))))
      assert.strictEqual(bare._tag, "OptimizerFailed")
      const told = yield* Effect.flip(run({ notFinite: at(12) }, { onDivergence: "tell" }))
      assert.strictEqual(told._tag, "OptimizerFailed")
    }))

  it.live("sees after a stop what the run saw that never stopped", () =>
    Effect.gen(function*() {
      const { outcomes } = yield* run({ moved: (step) => step === 12 || step === 17 })
      // The same decisions from the reports alone: the second time it must go to the start, at a sixteenth.
      const reports = outcomes.slice(0, 17)
      const good = { ...start, version: 5, updates: 5, moments: new Map() }
      const { guard } = yield* makeStepBack({
        drawings: 16, losses: false, onDivergence: "step-back", keeps: true, start, reports, kept: { good }
      }).pipe(Effect.provide(stages()))
      const { metrics } = yield* guard.step(outcomes[17]!.rollout, Effect.succeed({ snapshot: start, metrics: { "objective/kl": -1e6 } }))
      assert.deepInclude(metrics, { [backTo]: 0, [rateMetric]: 0.0625 })
      assert.isTrue(guard.discarded(17))
      assert.isTrue(guard.discarded(12))
      assert.isFalse(guard.discarded(0))
    }))
})
