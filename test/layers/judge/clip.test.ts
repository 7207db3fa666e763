import * as path from "node:path"
import { assert, describe, it, layer } from "@effect/vitest"
import { Resvg } from "@resvg/resvg-js"
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import * as JudgeClip from "../../../layers/judge/clip.ts"
import { OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import { Picture } from "../../../src/domain.ts"
import { random } from "../../../src/engine/random.ts"
import { promptOf } from "../../../src/prompts.ts"
import { caption, drawFlawed, drawScene, sampleScene } from "../../../src/scenes/index.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { judgeContract } from "../../stages/Judge.contract.ts"

const models = path.join(import.meta.dirname, "../../../models")
const runtime = OnnxRuntime.layer("cpu", 0, { threads: 1 })
const judge = (name = "clip") => JudgeClip.layer({ model: path.join(models, name) }).pipe(Layer.provide(runtime))

const picture = (svg: string, size = 64): Picture => {
  const { height, pixels, width } = new Resvg(svg, {
    fitTo: { mode: "width", value: size },
    background: "#ffffff",
    font: { loadSystemFonts: false }
  }).render()
  const rgba = new Uint8Array(pixels)
  return new Picture({ hash: createHash("sha256").update(rgba).digest("hex"), width, height, rgba })
}

/** A held-out scene, a good drawing of it and a flawed one. */
const pair = (n: number) => {
  const draw = random(0xc11b, n)
  const scene = sampleScene(draw, "heldout")
  const flaws = ["wrong-colour", "missing-part", "off-canvas", "tiny", "stray-object"] as const
  const make = () => {
    try {
      return drawFlawed(scene, draw, flaws[n % flaws.length]).svg
    } catch {
      return drawFlawed(scene, draw, "off-canvas").svg
    }
  }
  const [goodSvg, flawedSvg] = [drawScene(scene, draw), make()]
  return { prompt: promptOf(caption(scene)), goodSvg, flawedSvg, good: picture(goodSvg), flawed: picture(flawedSvg) }
}

judgeContract("clip", judge(), Array.from({ length: 4 }, (_, n) => pair(n).good))

layer(judge())("the embedded CLIP", (it) => {
  it.effect("prefers the good drawing to a flawed one of the same held-out scene", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const verdicts = yield* Effect.forEach(Array.from({ length: 60 }, (_, n) => pair(n)), ({ flawed, good, prompt }, n) =>
        // Every other pair is asked the other way round.
        n % 2 === 0
          ? Effect.map(compare(prompt, good, flawed), ({ outcome }) => ({ A: 1, B: 0, tie: 0.5, invalid: 0, failed: 0 })[outcome])
          : Effect.map(compare(prompt, flawed, good), ({ outcome }) => ({ A: 0, B: 1, tie: 0.5, invalid: 0, failed: 0 })[outcome]), {
        concurrency: "unbounded"
      })
      const right = verdicts.reduce((a, b) => a + b, 0) / verdicts.length
      assert.isAbove(right, 0.8, `${right} of the pairs`)
    }))

  it.effect("judges a large rendering as it does a small one", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      for (let n = 0; n < 20; n++) {
        const { flawedSvg, goodSvg, prompt } = pair(n)
        const [there, large] = yield* Effect.all([
          compare(prompt, picture(goodSvg), picture(flawedSvg)),
          compare(prompt, picture(goodSvg, 448), picture(flawedSvg, 448))
        ])
        for (const i of [0, 1]) assert.closeTo(large.scores![i]!, there.scores![i]!, 2, `pair ${n}`)
      }
    }))

  it.effect("refuses a picture that is not square", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { good, prompt } = pair(0)
      const wide = new Picture({ hash: "wide", width: 64, height: 32, rgba: new Uint8Array(64 * 32 * 4) })
      const error = yield* Effect.flip(compare(prompt, good, wide))
      assert.strictEqual(error._tag, "JudgeRefused")
      assert.include(error.message, "square")
    }))
})

describe("a folder that holds no CLIP", () => {
  const failure = (folder: string) =>
    Effect.flip(Effect.scoped(Layer.build(JudgeClip.layer({ model: folder }).pipe(Layer.provide(runtime)))))

  it.effect("missing", () =>
    Effect.gen(function*() {
      assert.include((yield* failure("/nowhere/clip")).message, "There is no model folder /nowhere/clip")
    }))

  it.effect("of another family", () =>
    Effect.gen(function*() {
      const error = yield* failure(path.join(models, "policy"))
      assert.include(error.message, "config.json")
    }))
})

it.effect("two judges of different weights never share an identity", () =>
  Effect.gen(function*() {
    const identity = (name: string) => Effect.map(Judge, ({ identity }) => identity).pipe(Effect.provide(judge(name)))
    assert.notStrictEqual(yield* identity("clip"), yield* identity("clip-heldout"))
  }))
