/** What every PreferenceBuffer must do. `layer` makes a fresh, empty one each time it is built. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { Advantage, isPreference, type Lesson, Preference } from "../../src/domain.ts"
import type { StalenessOptions } from "../../src/lessons/staleness.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { candidate, rollout } from "./make.ts"

export const bufferContract = <E>(
  name: string,
  layer: (options: StalenessOptions) => Layer.Layer<PreferenceBuffer, E>
) =>
  describe(`PreferenceBuffer contract: ${name}`, () => {
    const options = { maxStaleness: 2, staleWeight: 0.5 }

    it.live("hands out what was put, in order, unchanged, once", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        yield* buffer.put(rollout(1))
        yield* buffer.put(rollout(2, 1))
        const taken = yield* buffer.take(1)
        assert.deepStrictEqual(taken, { lessons: [...rollout(1).lessons, ...rollout(2, 1).lessons], stale: 0 })
        assert.deepStrictEqual(yield* buffer.take(1), { lessons: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("weighs a lesson by staleWeight ** age and drops what is too old", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        for (const version of [0, 1, 2, 3]) yield* buffer.put(rollout(version))
        const { lessons, stale } = yield* buffer.take(3)
        assert.strictEqual(stale, 2)
        assert.deepStrictEqual(lessons.filter(isPreference).map(({ chosen }) => chosen.policyVersion), [1, 1, 2, 2, 3, 3])
        assert.deepStrictEqual(lessons.map(({ weight }) => weight), [0.25, 0.125, 0.5, 0.25, 1, 0.5])
        assert.deepStrictEqual(yield* buffer.take(3), { lessons: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("drops what was drawn from a discarded version, and never hands it out", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        for (const version of [1, 2, 3]) yield* buffer.put(rollout(version))
        const { lessons, stale } = yield* buffer.take(3, (version) => version === 2)
        assert.strictEqual(stale, 2)
        assert.deepStrictEqual(lessons.filter(isPreference).map(({ chosen }) => chosen.policyVersion), [1, 1, 3, 3])
        assert.deepStrictEqual(yield* buffer.take(3), { lessons: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("never hands out a tie", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        yield* buffer.put(rollout(0))
        const { lessons } = yield* buffer.take(0)
        assert.isTrue(lessons.filter(isPreference).every(({ verdict }) => verdict.outcome === "A" || verdict.outcome === "B"))
        assert.strictEqual(lessons.length, 2)
      }).pipe(Effect.provide(layer(options))))

    it.live("holds advantages as it holds preferences, in one order", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        const mixed = (step: number) => {
          const { drawings, lessons, ...rest } = rollout(step)
          const advantages = [0.75, -1 / 3].map((advantage, index) => {
            const own = candidate({ step, index, policyVersion: step })
            return new Advantage({ prompt: own.prompt, candidate: own, advantage, weight: 1 })
          })
          return { ...rest, drawings, lessons: [advantages[0]!, ...lessons, advantages[1]!] }
        }
        for (const version of [0, 3]) yield* buffer.put(mixed(version))
        const taken = yield* buffer.take(4)
        assert.strictEqual(taken.stale, 4)
        const halved = (lesson: Lesson) =>
          lesson._tag === "Advantage" ? new Advantage({ ...lesson, weight: 0.5 }) : new Preference({ ...lesson, weight: lesson.weight / 2 })
        assert.deepStrictEqual(taken.lessons, mixed(3).lessons.map(halved))
        assert.deepStrictEqual(yield* buffer.take(4), { lessons: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("takes an empty rollout", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        yield* buffer.put({ ...rollout(0), drawings: [], pairs: [], lessons: [] })
        assert.deepStrictEqual(yield* buffer.take(0), { lessons: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("counts a rollout that is put twice once", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        yield* buffer.put(rollout(0))
        yield* buffer.put(rollout(0))
        assert.strictEqual((yield* buffer.take(0)).lessons.length, 2)
      }).pipe(Effect.provide(layer(options))))
  })
