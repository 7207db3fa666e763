/** Several trackers as one. They end at the same time, so that the slowest of them is the only one waited for. */
import { Context, Effect, Layer, Scope } from "effect"
import { Tracker } from "../../src/stages/Tracker.ts"

export const layer = <E, R>(layers: ReadonlyArray<Layer.Layer<never, E, R>>) => Layer.effect(Tracker, Effect.gen(function*() {
  const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
  const all = yield* Effect.forEach(layers, Effect.fnUntraced(function*(layer) {
    const built = yield* Layer.build(layer).pipe(Scope.provide(yield* Scope.fork(scope)))
    return Context.get(built, Tracker)
  }))
  return {
    step: (step) => Effect.forEach(all, (one) => one.step(step), { discard: true }),
    dropped: Effect.map(Effect.forEach(all, (one) => one.dropped), (counts): Readonly<Record<string, number>> => Object.assign({}, ...counts)),
    around: (work) => all.reduce((inner, one) => one.around(inner), work),
    end: Effect.forEach(all, (one) => one.end, { concurrency: "unbounded", discard: true })
  }
}))
