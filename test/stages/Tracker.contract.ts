/** What every tracker must do, and what it must survive. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { closing, hasty } from "../../layers/tracker/bounded.ts"
import { Tracker, type TrackedStep, type Tracking } from "../../src/stages/Tracker.ts"

export const trackedStep = (step: number, of: Partial<TrackedStep> = {}): TrackedStep => ({
  kind: "step",
  step,
  time: 1_796_036_255_250 + 1000 * step,
  metrics: { step, policyVersion: step, loss: 0.5 / (step + 1), "rewards/margins": step - 0.25 },
  completions: () => [
    { prompt: "a cat", completion: `<svg id="${step}"/>`, rewards: { clip: 0.75 }, advantage: undefined, outcome: "rendered", tokens: 9, policyVersion: step },
    { prompt: "a \"dog\"\n", completion: "<svg", rewards: {}, advantage: -0.5, outcome: "no-svg", tokens: 1, policyVersion: step }
  ],
  ...of
})

export interface Told {
  /** Each step that a reader finds, once for each time it finds it. */
  readonly steps: ReadonlyArray<number>
  /** `loss` of the last of them, to 6 digits. */
  readonly loss: number | undefined
}

interface Place {
  readonly tracker: Layer.Layer<never, unknown>
  readonly read: () => Promise<Told>
  readonly close: () => Promise<void>
}

export interface Kind {
  /** Under which it counts what it drops. */
  readonly name: string
  readonly title?: string
  /** A working place; `from` is the first step of a resumed run. `again` continues in the same place. */
  readonly works: () => Promise<Place & { readonly again: (from: number) => Layer.Layer<never, unknown> }>
  /** Places that misbehave; `slow` ones may take `closing` seconds to end. */
  readonly faults: Readonly<Record<string, { readonly slow: boolean; readonly open: (note: (line: string) => Effect.Effect<void>) => Promise<Omit<Place, "read">> }>>
  /** It shows the newest value of each number alone, when it pleases. */
  readonly sampled?: boolean
}

/** Runs with a tracker, then closes its scope; says how long that took, seconds. */
const using = <E>(layer: Layer.Layer<never, E>, use: (tracker: Tracking) => Effect.Effect<void>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const tracker = Context.get(yield* Layer.build(layer).pipe(Scope.provide(scope)), Tracker)
    yield* use(tracker)
    const started = performance.now()
    yield* Scope.close(scope, Exit.void)
    return (performance.now() - started) / 1000
  })

export const trackerContract = ({ faults, name, sampled = false, title = name, works }: Kind) =>
  describe(`Tracker contract: ${title}`, () => {
    const told = (steps: ReadonlyArray<number>) => sampled ? steps.slice(-1) : steps

    it.live("is told every step, once, in order, by the time it has ended", () =>
      Effect.gen(function*() {
        const place = yield* Effect.promise(works)
        yield* using(place.tracker, (tracker) =>
          Effect.gen(function*() {
            for (let step = 0; step < 40; step++) yield* tracker.step(trackedStep(step))
            yield* tracker.end
            assert.deepStrictEqual(yield* tracker.dropped, {})
            yield* tracker.step(trackedStep(40))
            yield* tracker.end
          }))
        const { loss, steps } = yield* Effect.promise(place.read)
        assert.deepStrictEqual(steps, told(Array.from({ length: 40 }, (_, n) => n)))
        if (loss !== undefined) assert.closeTo(loss, 0.5 / 40, 1e-6)
        yield* Effect.promise(place.close)
      }))

    it.live("ends with its scope as well: what an interrupted run told is not lost", () =>
      Effect.gen(function*() {
        const place = yield* Effect.promise(works)
        yield* using(place.tracker, (tracker) => Effect.forEach([0, 1, 2], (step) => tracker.step(trackedStep(step)), { discard: true }))
        assert.deepStrictEqual((yield* Effect.promise(place.read)).steps, told([0, 1, 2]))
        yield* Effect.promise(place.close)
      }))

    it.live("tells no step twice where a killed run goes on from an earlier step", () =>
      Effect.gen(function*() {
        const place = yield* Effect.promise(works)
        yield* using(place.tracker, (tracker) => Effect.forEach([0, 1, 2, 3, 4], (step) => tracker.step(trackedStep(step)), { discard: true }))
        yield* using(place.again(2), (tracker) => Effect.forEach([2, 3, 4, 5], (step) => tracker.step(trackedStep(step)), { discard: true }))
        assert.deepStrictEqual((yield* Effect.promise(place.read)).steps, told([0, 1, 2, 3, 4, 5]))
        yield* Effect.promise(place.close)
      }))

    it.live("lets work through unchanged, failures too", () =>
      Effect.gen(function*() {
        const place = yield* Effect.promise(works)
        yield* using(place.tracker, (tracker) =>
          Effect.gen(function*() {
            assert.strictEqual(yield* tracker.around(Effect.succeed(3)), 3)
            assert.strictEqual(yield* Effect.flip(tracker.around(Effect.fail("no"))), "no")
          }))
        yield* Effect.promise(place.close)
      }))

    for (const [fault, { open, slow }] of Object.entries(faults)) {
      if (slow) {
        it.live(`${fault}: a run that is interrupted waits ${hasty} s`, () =>
          Effect.gen(function*() {
            const place = yield* Effect.promise(() => open(() => Effect.void))
            const seconds = yield* using(place.tracker, (tracker) => Effect.andThen(tracker.around(Effect.void), tracker.step(trackedStep(0))))
            assert.isAbove(seconds, hasty / 2)
            assert.isBelow(seconds, hasty + 1)
            yield* Effect.promise(place.close)
          }))
      }
      it.live(`${fault}: no step waits, the end waits ${slow ? `${closing} s at most` : "for nothing"}, what was lost is counted and said`, () =>
        Effect.gen(function*() {
          const notes: Array<string> = []
          const place = yield* Effect.promise(() => open((line) => Effect.sync(() => void notes.push(line))))
          let handing = 0
          let dropped: Readonly<Record<string, number>> = {}
          const scopeSeconds = yield* using(place.tracker, (tracker) =>
            Effect.gen(function*() {
              yield* tracker.around(Effect.void)
              const started = performance.now()
              for (let step = 0; step < 2000; step++) yield* tracker.step(trackedStep(step))
              handing = (performance.now() - started) / 1000
              yield* Effect.sleep("50 millis")
              const ending = performance.now()
              yield* tracker.end
              assert.isBelow((performance.now() - ending) / 1000, slow ? closing + 1 : 2)
              dropped = yield* tracker.dropped
            }))
          assert.isBelow(handing, 1)
          assert.isBelow(scopeSeconds, 1)
          assert.deepStrictEqual(Object.keys(dropped), [name])
          if (sampled) assert.isAtLeast(dropped[name]!, 1)
          else assert.strictEqual(dropped[name], 2000)
          assert.match(notes.at(-1)!, /was not told everything/)
          assert.isAtMost(notes.length, 2)
          yield* Effect.promise(place.close)
        }))
    }
  })
