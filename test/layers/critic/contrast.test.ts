/** The critic by contrast, with the embedded CLIP: it says what a drawing looks like instead of what was asked. */
import * as path from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as CriticContrast from "../../../layers/critic/contrast.ts"
import * as JudgeClip from "../../../layers/judge/clip.ts"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { Prompt } from "../../../src/domain.ts"
import { random } from "../../../src/engine/random.ts"
import { promptOf } from "../../../src/prompts.ts"
import { drawScene, parseCaption } from "../../../src/scenes/index.ts"
import { Critic, type Draft } from "../../../src/stages/Critic.ts"
import type { Scorer } from "../../../src/stages/Scorer.ts"
import { inked } from "../../stages/make.ts"
import { picture } from "../../support/scene-pairs.ts"

const model = path.join(import.meta.dirname, "../../../models/clip")
const clip = Layer.unwrap(Effect.map(JudgeClip.scorer("clip", { model }), (scorer) =>
  CriticContrast.layer({ scorer, identity: "embedded", others: [] }))).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))

const drawn = (caption: string, n: number): Draft["rendering"] =>
  ({ _tag: "Rendered", picture: picture(drawScene(parseCaption(caption)!, random(0xc0, n))) })
const critique = (drafts: ReadonlyArray<Draft>) => Critic.use((critic) => critic.critique(drafts))
/** Drawings of one caption, asked as another. */
const asked = (prompt: string, shows: string, times = 8): ReadonlyArray<Draft> =>
  Array.from({ length: times }, (_, n) => ({ prompt: promptOf(prompt), rendering: drawn(shows, n) }))

layer(clip)("on the grammar", (it) => {
  it.effect("a drawing of two circles that should be three is said to look like two, and what to draw", () =>
    Effect.gen(function*() {
      const told = yield* critique(asked("three red circles", "two red circles"))
      for (const { costUsd, critique, tokens } of told) {
        assert.isBelow(critique!.score, 5)
        assert.match(critique!.critique, /^It looks more like: (two|2) red circles\.$/)
        assert.strictEqual(critique!.suggestions, "Draw three red circles.")
        assert.deepStrictEqual([costUsd, tokens], [0, 0])
      }
    }))

  it.effect("colours that are swapped are named", () =>
    Effect.gen(function*() {
      const told = yield* critique(asked("a blue star left of a red heart", "a red star left of a blue heart"))
      const named = told.filter(({ critique }) => critique!.score < 5 && /red star (to the )?left of a blue heart/.test(critique!.critique))
      assert.isAtLeast(named.length, 6)
    }))

  it.effect("a drawing that is right has more than 5 of 10 and nothing to mend", () =>
    Effect.gen(function*() {
      for (const caption of ["three red circles", "a red star", "a yellow cat", "a pelican riding a bicycle"]) {
        const told = yield* critique(asked(caption, caption))
        const right = told.filter(({ critique }) => critique!.score > 5)
        assert.isAtLeast(right.length, 7, caption)
        for (const { critique } of right) assert.deepInclude(critique, { critique: "It looks like what was asked.", suggestions: "Nothing." })
      }
    }))

  it.effect("answers in order, of a text that is no picture with the gate's reason, the same each time", () =>
    Effect.gen(function*() {
      const drafts: ReadonlyArray<Draft> = [
        asked("three red circles", "three red circles", 1)[0]!,
        { prompt: promptOf("three red circles"), rendering: { _tag: "Rejected", reason: "malformed", detail: "" } },
        asked("three red circles", "two red circles", 1)[0]!
      ]
      const told = yield* critique(drafts)
      assert.deepStrictEqual(told.map(({ critique }) => critique!.score > 5), [true, false, false])
      assert.deepStrictEqual(told[1]!.critique, { score: 0, critique: "There is no picture: malformed.", suggestions: "Write a whole, well-formed drawing." })
      const alone = yield* Effect.forEach(drafts, (draft) => critique([draft]))
      for (const [n, [one]] of alone.entries()) {
        assert.strictEqual(one!.critique!.critique, told[n]!.critique!.critique)
        assert.closeTo(one!.critique!.score, told[n]!.critique!.score, 1e-3)
      }
    }))
})

describe("free texts", () => {
  /** Gives each text a logit; the picture does not matter. */
  const scorer = (logits: Readonly<Record<string, number>>, asked: Array<string> = []): Scorer => ({
    name: "table",
    score: ({ text }) => Effect.sync(() => (asked.push(text), logits[text]))
  })
  const others = ["a boat in a bottle", "a cup of tea", "a dog that sleeps"].map(promptOf)
  const told = (scores: Scorer, prompt: Prompt, all = others) =>
    Effect.map(critique([{ prompt, rendering: { _tag: "Rendered", picture: inked(0.3) } }]), ([told]) => told!).pipe(
      Effect.provide(CriticContrast.layer({ scorer: scores, identity: "table", others: all }))
    )

  it.effect("are contrasted with those that are asked beside", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const logits = { "a boat in a bottle": 0, "a cup of tea": Math.log(3), "a dog that sleeps": -Infinity }
      const { critique } = yield* told(scorer(logits, asked), others[0]!)
      assert.deepStrictEqual(asked.toSorted(), others.map(({ text }) => text).toSorted())
      assert.closeTo(critique!.score, 2.5, 1e-9)
      assert.deepInclude(critique, { critique: "It looks more like: a cup of tea.", suggestions: "Draw a boat in a bottle." })
      const right = yield* told(scorer(logits), others[1]!)
      assert.closeTo(right.critique!.score, 7.5, 1e-9)
      assert.strictEqual(right.critique!.suggestions, "Nothing.")
    }))

  it.effect("are said to look like another only where that fits better", () =>
    Effect.gen(function*() {
      const { critique } = yield* told(scorer({ "a boat in a bottle": 0.1, "a cup of tea": 0, "a dog that sleeps": 0 }), others[0]!)
      assert.isBelow(critique!.score, 5)
      assert.deepInclude(critique, { critique: "It looks like what was asked.", suggestions: "Nothing." })
    }))

  it.effect("are contrasted with twelve at most, the same twelve each time", () =>
    Effect.gen(function*() {
      const many = Array.from({ length: 40 }, (_, n) => promptOf(`thing ${n}`))
      const logits = Object.fromEntries(many.map(({ text }, n) => [text, 900 + n])) // exp of these is no number
      const [first, again]: [Array<string>, Array<string>] = [[], []]
      const { critique } = yield* told(scorer(logits, first), many[39]!, many)
      yield* told(scorer(logits, again), many[39]!, many)
      assert.lengthOf(new Set(first), 13)
      assert.deepStrictEqual(again.toSorted(), first.toSorted())
      assert.isAbove(critique!.score, 5)
    }))

  it.effect("that nothing is asked beside have no score", () =>
    Effect.gen(function*() {
      for (const all of [[], [others[0]!], [others[0]!, others[0]!]]) {
        const { critique, problem } = yield* told(scorer({ "a boat in a bottle": 5 }), others[0]!, all)
        assert.deepStrictEqual([critique, problem], [undefined, "no other prompt is asked that this one could be contrasted with"])
      }
    }))

  it.effect("that the scorer cannot judge are a problem, not a failure", () =>
    Effect.gen(function*() {
      const { critique, problem } = yield* told(scorer({ "a boat in a bottle": 5 }), others[0]!)
      assert.deepStrictEqual([critique, problem], [undefined, "table cannot judge this prompt"])
    }))
})
