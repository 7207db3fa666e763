/**
 * Optimizer without a model: moves the radius of layers/sampler/fake.ts towards that of the chosen circles, with
 * momentum; with advantages, towards circles above the baseline. It sums in float64 in the order of the pairs and
 * stores float32: the same pairs give the same bits.
 */
import { Effect, Layer } from "effect"
import type { Candidate, Lesson } from "../../src/domain.ts"
import { copyParameters, type Parameters } from "../../src/engine/weights/tensor.ts"
import { Optimizer, type OptimizerState } from "../../src/stages/Optimizer.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { radius, radiusOf } from "../sampler/fake.ts"

export interface OptimizerFakeOptions {
  /** Where to start: a first snapshot, or the whole state of a resumed run. */
  readonly initial: PolicySnapshot | OptimizerState
  /** Share of the distance to the chosen circles that a step moves, in (0, 1]. Default 0.3. */
  readonly rate?: number
  /** Milliseconds a step takes; a function gets the version. Default 0. */
  readonly delay?: number | ((version: number) => number)
}

const momentum = 0.5
const moment = `exp_avg.${radius}`

/** The circle's radius as a share of half the canvas; undefined for a drawing that was cut off. */
const drawn = ({ svg }: Candidate): number | undefined => {
  const text = / r="([\d.]+)" fill/.exec(svg)?.[1]
  return text === undefined ? undefined : Number(text) / 50
}

const tensor = (value: number) => ({ shape: [1], data: Float32Array.of(value) })

/** Never fails. `loss` is the weighted mean distance between the chosen radius and the policy's. */
export const layer = ({ delay = 0, initial, rate = 0.3 }: OptimizerFakeOptions) =>
  Layer.sync(Optimizer, () => {
    let state: OptimizerState = {
      updates: 0,
      moments: new Map([[moment, tensor(0)]]),
      ...initial
    }
    const update = (lessons: ReadonlyArray<Lesson>) => {
      const mean = radiusOf(state.parameters)
      let [total, pull, loss] = [0, 0, 0]
      for (const lesson of lessons) {
        const [candidate, weight] = lesson._tag === "Advantage"
          ? [lesson.candidate, lesson.weight * Math.max(0, lesson.advantage)]
          : [lesson.chosen, lesson.weight]
        const r = drawn(candidate)
        if (r === undefined) continue
        total += weight
        pull += weight * (r - mean)
        loss += weight * Math.abs(r - mean)
      }
      const version = state.version + 1
      if (total === 0) {
        state = { ...state, version }
        return { snapshot: { version, parameters: state.parameters }, metrics: {} }
      }
      const velocity = momentum * (state.moments.get(moment)?.data[0] ?? 0) + (1 - momentum) * pull / total
      const parameters: Parameters = new Map([[radius, tensor(mean + rate * (state.rate ?? 1) * velocity)]])
      state = { ...state, version, updates: state.updates + 1, parameters, moments: new Map([[moment, tensor(velocity)]]) }
      return { snapshot: { version, parameters }, metrics: { loss: loss / total, "fake/radius": radiusOf(parameters) } }
    }
    return Optimizer.of({
      name: "fake",
      step: (lessons) =>
        Effect.suspend(() =>
          Effect.delay(Effect.sync(() => update(lessons)), typeof delay === "number" ? delay : delay(state.version))
        ),
      restore: (to) => Effect.sync(() => void (state = { ...to, parameters: copyParameters(to.parameters), moments: copyParameters(to.moments) })),
      state: Effect.sync(() => ({
        ...state,
        parameters: copyParameters(state.parameters),
        moments: copyParameters(state.moments)
      }))
    })
  })
