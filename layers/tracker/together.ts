/** Several trackers as one. */
import { Context, Effect, Layer } from "effect"
import { Tracker } from "../../src/stages/Tracker.ts"

/** They end at the same time, so that the slowest of them is the only one waited for. */
export const layer = <E, R>(layers: ReadonlyArray<Layer.Layer<never, E, R>>) => Layer.effect(Tracker, Effect.gen(function*() {
  const all = yield* Effect.forEach(layers, (layer) => Effect.map(Layer.build(layer), (built) => Context.get(built, Tracker)))
  const end = Effect.forEach(all, (one) => one.end, { concurrency: "unbounded", discard: true })
  yield* Effect.addFinalizer(() => end)
  return {
    step: (step) => Effect.forEach(all, (one) => one.step(step), { discard: true }),
    dropped: Effect.map(Effect.forEach(all, (one) => one.dropped), (counts): Readonly<Record<string, number>> => Object.assign({}, ...counts)),
    around: (work) => all.reduce((inner, one) => one.around(inner), work),
    end
  }
}))
