/** What a critic without eyes is told of a picture: blobs by colour, size and place, the same for any size of the picture. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as RendererResvg from "../../layers/renderer/resvg.ts"
import { random } from "../../src/engine/random.ts"
import { seenBlobs, seenIn, seenOf } from "../../src/roles/seen.ts"
import { drawScene, parseCaption } from "../../src/scenes/index.ts"
import { Renderer } from "../../src/stages/Renderer.ts"
import { picture } from "../support/scene-pairs.ts"

const drawn = (caption: string, n: number) => drawScene(parseCaption(caption)!, random(0x5ee, n))
const svg = (body: string) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">${body}</svg>`

/** Colours of all blobs, largest first, or those of one line. */
const coloursIn = (line: string): ReadonlyArray<string> => line.split("; ").map((part) => part.split(" ")[0]!)

const blank = (width: number, height = width) => ({ width, height, rgba: new Uint8Array(4 * width * height).fill(255) })

for (const size of [64, 200]) {
  layer(RendererResvg.layer({ processes: 1, size }))(`of ${size} pixels`, (it) => {
    const see = (text: string) =>
      Effect.flatMap(Renderer, ({ render }) => render(text)).pipe(Effect.map((rendering) => {
        if (rendering._tag !== "Rendered") return assert.fail(rendering.reason)
        assert.strictEqual(seenOf(rendering), seenIn(rendering.picture))
        return seenIn(rendering.picture)
      }))

    it.effect("things of the grammar are seen one by one, in their colours", () =>
      Effect.gen(function*() {
        for (let n = 0; n < 6; n++) {
          assert.deepStrictEqual(coloursIn(yield* see(drawn("three green stars", n))), ["green", "green", "green"])
          assert.deepStrictEqual(coloursIn(yield* see(drawn("one red circle", n))), ["red"])
          assert.deepStrictEqual(coloursIn(yield* see(drawn("five blue squares", n))), Array.from({ length: 5 }, () => "blue"))
          assert.deepStrictEqual(coloursIn(yield* see(drawn("a big orange heart and a small black diamond", n))), ["orange", "black"])
          const over = yield* see(drawn("a yellow circle above a purple square", n))
          const [, top] = /yellow \d+ (\d+)/.exec(over) ?? []
          const [, bottom] = /purple \d+ (\d+)/.exec(over) ?? []
          assert.isBelow(Number(top), Number(bottom), over)
        }
      }))

    it.effect("boxes and areas are in 64ths of the width", () =>
      Effect.gen(function*() {
        const line = yield* see(svg(`<rect x="8" y="16" width="20" height="10" fill="red"/><rect x="40" y="40" width="8" height="8" fill="blue"/>`))
        const numbers = (colour: string) => /-?\d+ -?\d+ -?\d+ -?\d+ of \d+/.exec(line.split("; ").find((part) => part.startsWith(colour))!)![0].split(/ (?:of )?/).map(Number)
        numbers("red").forEach((value, i) => assert.closeTo(value, [8, 16, 28, 26, 200][i]!, i === 4 ? 10 : 1))
        numbers("blue").forEach((value, i) => assert.closeTo(value, [40, 40, 48, 48, 64][i]!, i === 4 ? 6 : 1))
      }))

    it.effect("of many blobs the twelve largest are told, and how many more there are", () =>
      Effect.gen(function*() {
        const dots = Array.from({ length: 20 }, (_, n) => `<rect x="${2 + 12 * (n % 5)}" y="${2 + 15 * Math.floor(n / 5)}" width="6" height="6" fill="${n % 2 === 0 ? "red" : "blue"}"/>`)
        const line = yield* see(svg(dots.join("")))
        assert.lengthOf(line.split("; "), 13)
        assert.match(line, /; and 8 smaller ones$/)
      }))
  })
}

describe("pictures", () => {
  it("that are blank show nothing, and text that is no picture shows why", () => {
    assert.strictEqual(seenIn(blank(64)), "nothing")
    assert.strictEqual(seenIn(blank(200)), "nothing")
    assert.strictEqual(seenOf({ _tag: "Rejected", reason: "malformed", detail: "no secrets" }), "no picture: malformed")
    assert.strictEqual(seenOf({ _tag: "Killed", reason: "deadline", detail: "" }), "no picture: deadline")
  })

  it("are seen, small or large, and stay as they are", () => {
    for (const [width, height] of [[1, 1], [3, 7], [64, 64], [640, 320]] as const) {
      const black = blank(width, height)
      black.rgba.forEach((_, i) => (black.rgba[i] = i % 4 === 3 ? 255 : 0))
      const before = Uint8Array.from(black.rgba)
      assert.strictEqual(seenIn(black), "black 0 0 64 64 of 4096")
      assert.deepStrictEqual(black.rgba, before)
    }
  })

  it("are told of on one short line, largest first", () => {
    for (let n = 0; n < 20; n++) {
      const shown = picture(drawn("a pelican riding a bicycle", n))
      const line = seenIn(shown)
      assert.isBelow(line.length, 500)
      assert.notInclude(line, "\n")
      const areas = seenBlobs(shown).map(({ area }) => area)
      assert.deepStrictEqual(areas, areas.toSorted((a, b) => b - a))
    }
  })

  it("that are noise take time in proportion to their pixels", () => {
    const noise = (side: number) => {
      const draw = random(side)
      return { width: side, height: side, rgba: Uint8Array.from({ length: 4 * side * side }, (_, i) => i % 4 === 3 ? 255 : 256 * draw()) }
    }
    const timeOf = (side: number): number => {
      const shown = noise(side)
      return Math.min(...Array.from({ length: 3 }, () => {
        const start = performance.now()
        seenIn(shown)
        return performance.now() - start
      }))
    }
    timeOf(64)
    const [small, large] = [timeOf(256), timeOf(1024)] // 16 times the pixels
    assert.isBelow(large, 48 * Math.max(small, 2))
  })
})
