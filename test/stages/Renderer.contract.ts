/** What every Renderer must do. `drawings` are some it can render; no two of them look the same. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Layer } from "effect"
import { createHash } from "node:crypto"
import type { Picture, Rendering } from "../../src/domain.ts"
import { Renderer } from "../../src/stages/Renderer.ts"

export const circle = (radius: number, fill = "#cc3344"): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="${radius}" fill="${fill}"/></svg>`

const pictureOf = (rendering: Rendering): Picture => {
  if (rendering._tag !== "Rendered") return assert.fail(`${rendering._tag}: ${rendering.reason}, ${rendering.detail}`)
  return rendering.picture
}

export const rendererContract = <E>(
  name: string,
  layer: Layer.Layer<Renderer, E>,
  drawings: ReadonlyArray<string> = [10, 20, 30, 40].flatMap((r) => [circle(r), circle(r, "#2f9e44")])
) =>
  describe(`Renderer contract: ${name}`, () => {
    const draw = (svg: string) => Renderer.use((renderer) => renderer.render(svg))
    const hashes = Effect.forEach(drawings, (svg) => Effect.map(draw(svg), (rendering) => pictureOf(rendering).hash))

    it.live("gives opaque pixels of its size, with their hash", () =>
      Effect.gen(function*() {
        const { name, size } = yield* Renderer
        assert.isAbove(name.length, 0)
        for (const svg of drawings) {
          const { hash, height, rgba, width } = pictureOf(yield* draw(svg))
          assert.deepStrictEqual([width, height, rgba.length], [size, size, size * size * 4])
          assert.isTrue(rgba.every((value, i) => i % 4 !== 3 || value === 255), "every pixel is opaque")
          assert.strictEqual(hash, createHash("sha256").update(rgba).digest("hex"))
        }
      }).pipe(Effect.provide(layer)))

    it.live("gives the same picture for the same drawing, and another for another", () =>
      Effect.gen(function*() {
        const first = yield* hashes
        assert.deepStrictEqual(yield* hashes, first)
        assert.strictEqual(new Set(first).size, drawings.length)
      }).pipe(Effect.provide(layer)))

    it.live("rejects a drawing that is cut off, and draws the next one", () =>
      Effect.gen(function*() {
        const whole = drawings[0]!
        for (const text of ["", "no drawing", whole.slice(0, 20), whole.slice(0, -1)]) {
          const rendering = yield* draw(text)
          assert.strictEqual(rendering._tag, "Rejected", text)
          if (rendering._tag === "Rejected") assert.isAbove(rendering.detail.length, 0)
        }
        pictureOf(yield* draw(whole))
      }).pipe(Effect.provide(layer)))

    it.live("gives each caller its own drawing, however many ask at once", () =>
      Effect.gen(function*() {
        const alone = yield* hashes
        const order = Array.from({ length: 60 }, (_, i) => (i * 7) % drawings.length)
        const together = yield* Effect.forEach(order, (i) => draw(drawings[i]!), { concurrency: "unbounded" })
        assert.deepStrictEqual(together.map((rendering) => pictureOf(rendering).hash), order.map((i) => alone[i]!))
      }).pipe(Effect.provide(layer)))

    it.live("survives callers that stop waiting", () =>
      Effect.gen(function*() {
        const alone = yield* hashes
        for (let round = 0; round < 5; round++) {
          const fibers = yield* Effect.forEach(drawings, (svg) => Effect.forkChild(draw(svg), { startImmediately: true }))
          yield* Effect.sleep(round)
          yield* Fiber.interruptAll(fibers.filter((_, i) => i % 2 === round % 2))
        }
        assert.deepStrictEqual(yield* hashes, alone)
      }).pipe(Effect.provide(layer)))
  })
