/** What every Optimizer must do. `lessons` must move its parameters. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import type { Lesson } from "../../src/domain.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { Optimizer, type OptimizerState } from "../../src/stages/Optimizer.ts"

const plain = (parameters: Parameters) => [...parameters].map(([name, { data, shape }]) => [name, [...shape], [...data]])

export const optimizerContract = <E>(
  name: string,
  layer: (initial: OptimizerState) => Layer.Layer<Optimizer, E>,
  initial: OptimizerState,
  lessons: ReadonlyArray<Lesson>
) =>
  describe(`Optimizer contract: ${name}`, () => {
    const from = (state: OptimizerState) =>
      <A, E2>(work: (optimizer: Optimizer["Service"]) => Effect.Effect<A, E2>) =>
        Optimizer.use(work).pipe(Effect.provide(layer(state)))

    it.live("counts versions and gives finite metrics", () =>
      from(initial)((optimizer) => Effect.gen(function*() {
        const first = yield* optimizer.step(lessons)
        const second = yield* optimizer.step(lessons)
        assert.deepStrictEqual([first.snapshot.version, second.snapshot.version], [initial.version + 1, initial.version + 2])
        assert.isTrue(Object.values(first.metrics).every(Number.isFinite))
        assert.property(first.metrics, "loss")
        assert.notDeepEqual(plain(first.snapshot.parameters), plain(initial.parameters))
        assert.notDeepEqual(plain(second.snapshot.parameters), plain(first.snapshot.parameters))
      })))

    it.live("keeps the parameters of an empty step and counts its version only", () =>
      from(initial)((optimizer) => Effect.gen(function*() {
        const { snapshot } = yield* optimizer.step([])
        assert.strictEqual(snapshot.version, initial.version + 1)
        assert.deepStrictEqual(plain(snapshot.parameters), plain(initial.parameters))
        const state = yield* optimizer.state
        assert.deepStrictEqual([state.version, state.updates], [initial.version + 1, initial.updates])
      })))

    it.live("continues from a saved state bit for bit", () =>
      Effect.gen(function*() {
        const [saved, straight] = yield* from(initial)((optimizer) => Effect.gen(function*() {
          yield* optimizer.step(lessons)
          const state = yield* optimizer.state
          yield* optimizer.step(lessons)
          return [state, yield* optimizer.state] as const
        }))
        const resumed = yield* from(saved)((optimizer) => Effect.andThen(optimizer.step(lessons), optimizer.state))
        assert.deepStrictEqual([saved.version, saved.updates], [initial.version + 1, initial.updates + 1])
        assert.deepStrictEqual([resumed.version, resumed.updates], [straight.version, straight.updates])
        assert.deepStrictEqual(plain(resumed.parameters), plain(straight.parameters))
        assert.deepStrictEqual(plain(resumed.moments), plain(straight.moments))
      }))

    it.live("goes back to a saved state as one that was made from it, at another version and rate", () =>
      Effect.gen(function*() {
        const [saved, back] = yield* from(initial)((optimizer) => Effect.gen(function*() {
          yield* optimizer.step(lessons)
          const state = yield* optimizer.state
          for (let n = 0; n < 3; n++) yield* optimizer.step(lessons)
          yield* optimizer.restore!({ ...state, version: 9, rate: 0.25 })
          const first = yield* optimizer.step(lessons)
          assert.strictEqual(first.snapshot.version, 10)
          return [state, yield* optimizer.state] as const
        }))
        const made = yield* from({ ...saved, version: 9, rate: 0.25 })((optimizer) => Effect.andThen(optimizer.step(lessons), optimizer.state))
        assert.deepStrictEqual([back.version, back.updates, back.rate], [10, saved.updates + 1, 0.25])
        assert.deepStrictEqual([made.version, made.updates, made.rate], [10, saved.updates + 1, 0.25])
        assert.deepStrictEqual(plain(back.parameters), plain(made.parameters))
        assert.deepStrictEqual(plain(back.moments), plain(made.moments))
        const full = yield* from(saved)((optimizer) => Effect.map(optimizer.step(lessons), ({ snapshot }) => snapshot.parameters))
        assert.notDeepEqual(plain(full), plain(made.parameters))
      }))

    it.live("goes back to the state it was made from, of which it keeps nothing", () =>
      Effect.gen(function*() {
        const start = { ...initial, updates: 0, moments: new Map() }
        const back = yield* from(initial)((optimizer) => Effect.gen(function*() {
          for (let n = 0; n < 2; n++) yield* optimizer.step(lessons)
          yield* optimizer.restore!({ ...start, version: 7 })
          return (yield* optimizer.step(lessons)).snapshot
        }))
        const made = yield* from({ ...start, version: 7 })((optimizer) => optimizer.step(lessons))
        assert.deepStrictEqual([back.version, made.snapshot.version], [8, 8])
        assert.deepStrictEqual(plain(back.parameters), plain(made.snapshot.parameters))
      }))
  })
