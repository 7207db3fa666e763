import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as JudgeFake from "../../layers/judge/fake.ts"
import { type Drawing, type Outcome, Verdict } from "../../src/domain.ts"
import { championsOf } from "../../src/evaluation/champions.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { candidate, inked } from "../stages/make.ts"

const drawing = (ink: number | undefined): Drawing => ({
  candidate: candidate(),
  rendering: ink === undefined ? { _tag: "Rejected", reason: "blank", detail: "" } : { _tag: "Rendered", picture: inked(ink) }
})
const champions = (...inks: ReadonlyArray<number | undefined>) => championsOf(inks.map(drawing))

/** Says the same of every pair. */
const says = (outcome: Outcome, scores?: readonly [number, number]) =>
  Effect.provideService(Judge, {
    name: "one answer",
    identity: "one answer",
    concurrency: 1,
    compare: () => Effect.succeed(new Verdict({ outcome, confidence: 0, by: "one answer", ...(scores === undefined ? {} : { scores }) }))
  })

describe("the champions of the first 1, 2, ... drawings", () => {
  it.effect("are those of highest score for a judge that scores pictures", () =>
    Effect.gen(function*() {
      // The fake judge likes a ink of 0.4 best.
      assert.deepStrictEqual(yield* champions(0.9, 0.6, 0.1, 0.45, 0.2), [0, 1, 1, 3, 3])
    }).pipe(Effect.provide(JudgeFake.layer({ target: 0.4, margin: 0 }))))

  it.effect("change in a tie only if the later score is higher", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* champions(0.1, 0.2).pipe(says("tie")), [0, 0])
      assert.deepStrictEqual(yield* champions(0.1, 0.2).pipe(says("tie", [1, 1.1])), [0, 1])
      assert.deepStrictEqual(yield* champions(0.1, 0.2).pipe(says("tie", [1, 1])), [0, 0])
      assert.deepStrictEqual(yield* champions(0.1, 0.2).pipe(says("failed")), [0, 0])
    }))

  it.effect("are drawings that rendered, if one did", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* champions(undefined, undefined, 0.9, undefined), [0, 0, 2, 2])
    }).pipe(Effect.provide(JudgeFake.layer())))
})
