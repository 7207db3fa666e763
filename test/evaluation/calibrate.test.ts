import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import { calibrate } from "../../src/evaluation/calibrate.ts"
import { errorNames, isTextCheat, knownPairs } from "../../src/evaluation/known-pairs.ts"
import { type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { checkScene, parseCaption } from "../../src/scenes/index.ts"
import { lettersPath } from "../../src/scenes/letters.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { Renderer } from "../../src/stages/Renderer.ts"

const renderer = rendererResvg.layer({ size: 64, processes: 1 })
const judge = (name: string, outcome: (prompt: Prompt, a: Picture, b: Picture) => "A" | "B" | "tie") =>
  Layer.succeed(Judge, {
    name,
    identity: name,
    concurrency: 4,
    compare: (prompt, a, b) =>
      Effect.sync(() => new Verdict({ outcome: outcome(prompt, a, b), confidence: 0.5, by: name, costUsd: 0.002 }))
  })
const score = (prompt: Prompt, picture: Picture) => checkScene(parseCaption(prompt.text)!, picture).score
const measured = (which: Layer.Layer<Judge>, n = 8) =>
  calibrate(knownPairs(n, 0), 0).pipe(Effect.provide(Layer.merge(renderer, which)))

describe("known pairs", () => {
  it("are the same for the same seed, other for another, and as many as asked of every error", () => {
    assert.deepStrictEqual(knownPairs(3, 1), knownPairs(3, 1))
    assert.notDeepEqual(knownPairs(3, 1), knownPairs(3, 2))
    for (const error of errorNames) assert.strictEqual(knownPairs(3, 1).filter((pair) => pair.error === error).length, 3)
  })

  it.live("have a good drawing that renders, and a text cheat is refused unless it is drawn", () =>
    Effect.gen(function*() {
      const { render } = yield* Renderer
      for (const { bad, error, good } of knownPairs(4, 3)) {
        assert.strictEqual((yield* render(good))._tag, "Rendered")
        if (error === "prompt as text") assert.deepInclude(yield* render(bad), { _tag: "Rejected", reason: "text" })
        if (error === "prompt as letters") assert.strictEqual((yield* render(bad))._tag, "Rendered")
      }
    }).pipe(Effect.provide(renderer)))
})

describe("calibrate", () => {
  it.live("finds a judge that measures the pixels right about nearly everything", () =>
    Effect.gen(function*() {
      const c = yield* measured(judge("scene check", (prompt, a, b) => {
        const gap = score(prompt, a) - score(prompt, b)
        return Math.abs(gap) < 0.01 ? "tie" : gap > 0 ? "A" : "B"
      }))
      assert.isAbove(c.overall.value, 0.95)
      assert.isAbove(c.gross.value, 0.97)
      assert.strictEqual(c.textCheats.value, 0)
      assert.strictEqual(c.swapConsistency.value, 1)
      assert.strictEqual(c.repeatFlips.value, 0)
      assert.strictEqual(c.positionBias, 0)
      const asked = c.errors.reduce((n, { byGate, pairs }) => n + pairs * (1 - byGate), 0)
      assert.isAbove(c.costPer1000, 1000 * 2 * 0.002 * asked / (8 * errorNames.length) - 1e-9)
    }))

  it.live("exposes a judge that always takes the first place", () =>
    Effect.gen(function*() {
      const c = yield* measured(judge("first", () => "A"))
      assert.strictEqual(c.positionBias, 0.5)
      assert.strictEqual(c.swapConsistency.value, 0)
      for (const { accuracy, byGate } of c.errors) if (byGate === 0) assert.strictEqual(accuracy.value, 0.5)
    }))

  it.live("exposes a judge that changes its mind", () =>
    Effect.gen(function*() {
      let n = 0
      const c = yield* measured(judge("moody", () => (n++ % 3 === 0 ? "A" : "B")), 12)
      assert.isAbove(c.repeatFlips.value, 0.2)
      assert.isBelow(c.overall.value, 0.7)
    }))

  it.live("counts what a judge that loves letters gives away", () =>
    Effect.gen(function*() {
      const dark = ({ rgba }: Picture) => rgba.reduce((sum, x, i) => sum + (i % 4 < 3 && x < 40 ? 1 : 0), 0)
      const c = yield* measured(judge("black ink", (_prompt, a, b) => (dark(a) > dark(b) ? "A" : dark(b) > dark(a) ? "B" : "tie")))
      const letters = c.errors.find(({ error }) => error === "prompt as letters")!
      assert.isTrue(isTextCheat(letters.error))
      assert.isAtLeast(letters.fooled, 0.4)
      assert.isAtLeast(c.textCheats.value, 0.2)
    }))
})

it("letters are wrapped at words, and drawn as squares", () => {
  const path = lettersPath("ab cd", 0, 0, 12, 1)
  assert.match(path, /^<path fill="#000" d="(M[\d.]+ [\d.]+h1v1h-1z)+"\/>$/)
  assert.isTrue(Math.max(...[...path.matchAll(/M[\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y))) > 6, "a second line")
})
