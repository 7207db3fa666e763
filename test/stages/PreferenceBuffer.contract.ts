/** What every PreferenceBuffer must do. `layer` makes a fresh, empty one each time it is built. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import type { StalenessOptions } from "../../src/lessons/decide.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { rollout } from "./make.ts"

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
        assert.deepStrictEqual(taken, { preferences: [...rollout(1).preferences, ...rollout(2, 1).preferences], stale: 0 })
        assert.deepStrictEqual(yield* buffer.take(1), { preferences: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("weighs a preference by staleWeight ** age and drops what is too old", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        for (const version of [0, 1, 2, 3]) yield* buffer.put(rollout(version))
        const { preferences, stale } = yield* buffer.take(3)
        assert.strictEqual(stale, 2)
        assert.deepStrictEqual(preferences.map(({ chosen }) => chosen.policyVersion), [1, 1, 2, 2, 3, 3])
        assert.deepStrictEqual(preferences.map(({ weight }) => weight), [0.25, 0.125, 0.5, 0.25, 1, 0.5])
        assert.deepStrictEqual(yield* buffer.take(3), { preferences: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("never hands out a tie", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        yield* buffer.put(rollout(0))
        const { preferences } = yield* buffer.take(0)
        assert.isTrue(preferences.every(({ verdict }) => verdict.outcome === "A" || verdict.outcome === "B"))
        assert.strictEqual(preferences.length, 2)
      }).pipe(Effect.provide(layer(options))))

    it.live("takes an empty rollout", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        yield* buffer.put({ ...rollout(0), drawings: [], pairs: [], preferences: [] })
        assert.deepStrictEqual(yield* buffer.take(0), { preferences: [], stale: 0 })
      }).pipe(Effect.provide(layer(options))))

    it.live("counts a rollout that is put twice once", () =>
      Effect.gen(function*() {
        const buffer = yield* PreferenceBuffer
        yield* buffer.put(rollout(0))
        yield* buffer.put(rollout(0))
        assert.strictEqual((yield* buffer.take(0)).preferences.length, 2)
      }).pipe(Effect.provide(layer(options))))
  })
