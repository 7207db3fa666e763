/** What every Judge must do. `pictures` are some it may be shown; a few of them should differ in its eyes. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, type Layer, Option } from "effect"
import { type Outcome, Picture, type Rendering } from "../../src/domain.ts"
import { decideRenderings } from "../../src/lessons/decide.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { inked, prompt } from "./make.ts"

const mirrored: Partial<Record<Outcome, Outcome>> = { A: "B", B: "A", tie: "tie" }

const allOrdered = (pictures: ReadonlyArray<Picture>) =>
  pictures.flatMap((a, i) => pictures.filter((_, j) => i !== j).map((b) => [a, b] as const))

export const judgeContract = <E>(
  name: string,
  layer: Layer.Layer<Judge, E>,
  pictures: ReadonlyArray<Picture> = [0.05, 0.2, 0.4, 0.401, 0.7, 0.95].map((share) => inked(share))
) =>
  describe(`Judge contract: ${name}`, () => {
    const cat = prompt("a cat")
    const compare = (a: Picture, b: Picture) =>
      Judge.use((judge) => judge.compare(cat, a, b))

    it.live("answers A, B or tie with a confidence in [0, 1], 0 for a tie", () =>
      Effect.gen(function*() {
        const judge = yield* Judge
        assert.isAbove(judge.name.length, 0)
        assert.isAbove(judge.identity.length, 0)
        assert.isAtLeast(judge.concurrency, 1)
        for (const [a, b] of allOrdered(pictures)) {
          const { by, confidence, outcome } = yield* compare(a, b)
          assert.include(["A", "B", "tie"], outcome)
          assert.isTrue(confidence >= 0 && confidence <= 1, `confidence ${confidence}`)
          if (outcome === "tie") assert.strictEqual(confidence, 0)
          assert.notStrictEqual(by, "gate")
        }
      }).pipe(Effect.provide(layer)))

    it.live("mirrors its answer when the pictures are swapped", () =>
      Effect.gen(function*() {
        for (const [a, b] of allOrdered(pictures)) {
          const [there, back] = [yield* compare(a, b), yield* compare(b, a)]
          assert.strictEqual(back.outcome, mirrored[there.outcome])
          assert.closeTo(back.confidence, there.confidence, 1e-6)
          if (there.scores !== undefined) assert.deepStrictEqual(back.scores, [there.scores[1], there.scores[0]])
        }
      }).pipe(Effect.provide(layer)))

    it.live("ties identical pictures", () =>
      Effect.gen(function*() {
        for (const picture of pictures) assert.strictEqual((yield* compare(picture, picture)).outcome, "tie")
      }).pipe(Effect.provide(layer)))

    it.live("is never asked about a drawing that did not render", () =>
      Effect.gen(function*() {
        const rendered: Rendering = { _tag: "Rendered", picture: pictures[0]! }
        for (const failed of [
          { _tag: "Rejected", reason: "blank", detail: "" },
          { _tag: "Killed", reason: "deadline", detail: "" }
        ] as const) {
          const said = [
            yield* decideRenderings(cat, rendered, failed),
            yield* decideRenderings(cat, failed, rendered),
            yield* decideRenderings(cat, failed, failed)
          ]
          assert.deepStrictEqual(said.map(({ by, outcome }) => [outcome, by]), [["A", "gate"], ["B", "gate"], ["invalid", "gate"]])
        }
      }).pipe(Effect.provide(layer)))

    it.live("answers a picture that it cannot use with an error of its own, never with a defect", () =>
      Effect.gen(function*() {
        for (const [width, height] of [[1, 1], [3, 1], [1, 500]] as const) {
          const odd = new Picture({ hash: `${width} x ${height}`, width, height, rgba: new Uint8Array(width * height * 4).fill(255) })
          const exit = yield* Effect.exit(compare(odd, pictures[0]!))
          if (Exit.isSuccess(exit)) continue
          const tag = Option.getOrUndefined(Exit.findErrorOption(exit))?._tag
          assert.include(["JudgeBusy", "JudgeRefused", "JudgeStopped"], tag, `${exit.cause}`)
        }
      }).pipe(Effect.provide(layer)))

    it.live("lets go when it is interrupted, and answers the next question", () =>
      Effect.gen(function*() {
        const [a, b] = [pictures[0]!, pictures.at(-1)!]
        for (const after of [0, 2, 10]) {
          const asking = yield* Effect.forkChild(compare(a, b), { startImmediately: true })
          yield* Effect.sleep(after)
          const [took] = yield* Effect.timed(Fiber.interrupt(asking))
          assert.isBelow(Duration.toMillis(took), 5000)
        }
        assert.include(["A", "B", "tie"], (yield* compare(a, b)).outcome)
      }).pipe(Effect.provide(layer)))

    it.live("is deterministic, across two lives of the layer too", () => {
      const once = Effect.forEach(allOrdered(pictures), ([a, b]) => compare(a, b)).pipe(Effect.provide(layer))
      return Effect.gen(function*() {
        assert.deepStrictEqual(yield* once, yield* once)
      })
    })
  })
