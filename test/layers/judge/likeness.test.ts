/** Judges that compare a drawing with a reference, pixel by pixel. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as JudgeLikeness from "../../../layers/judge/likeness.ts"
import { Picture } from "../../../src/domain.ts"
import { encodePng } from "../../../src/drawing/png.ts"
import { edgeLikeness, pixelLikeness } from "../../../src/scorers/likeness.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { judgeContract } from "../../stages/Judge.contract.ts"
import { inked, prompt } from "../../stages/make.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const work = scratchFolder("likeness")
const side = 64

/** A filled square of one gray on another. */
const square = (left: number, top: number, size: number, [ink, page]: readonly [number, number] = [0, 255]) => {
  const rgba = new Uint8Array(side * side * 4).fill(255)
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const on = x >= left && x < left + size && y >= top && y < top + size
      rgba.fill(on ? ink : page, (y * side + x) * 4, (y * side + x) * 4 + 3)
    }
  }
  return rgba
}

const pictureOf = (rgba: Uint8Array) => new Picture({ hash: createHash("sha256").update(rgba).digest("hex"), width: side, height: side, rgba })
const file = (name: string, data: string | Uint8Array) => {
  fs.writeFileSync(path.join(work, name), data)
  return path.join(work, name)
}
file("cat.png", encodePng(16, 16, inked(0.4).rgba))
file("square.svg", `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><path d="M16 16h24v24h-24z"/></svg>`)
const references = file("references.jsonl", [{ prompt: "a cat", image: "cat.png" }, { prompt: "a square", image: "square.svg" }].map((row) => JSON.stringify(row)).join("\n"))

const shown = [0.05, 0.2, 0.4, 0.7, 0.95].map((share) => inked(share))
judgeContract("likeness pixels", JudgeLikeness.layer({ of: "pixels", references }), shown)
judgeContract("likeness edges", JudgeLikeness.layer({ of: "edges", references }), shown)

describe("likeness", () => {
  const original = square(16, 16, 24)

  it("is 1 for a copy, and for a paler one; of two colours it is what the formula says", () => {
    for (const of of [pixelLikeness, edgeLikeness]) {
      assert.closeTo(of(original, original, side), 1, 1e-6)
      assert.closeTo(of(original, square(16, 16, 24, [100, 180]), side), 1, 1e-5)
    }
    // Two shares p of ink that do not meet: the correlation is -p / (1 - p), and ‖x - y‖² / n = 2 (1 - correlation).
    const p = (16 * 16) / (side * side)
    const apart = pixelLikeness(square(0, 0, 16), square(40, 40, 16))
    assert.closeTo(apart, Math.max(-1, 1 - Math.sqrt(2 * (1 + p / (1 - p)))), 1e-5)
    assert.closeTo(pixelLikeness(original, square(16, 16, 24, [255, 0])), -1, 1e-5)
  })

  it("of edges forgives a pixel beside, and not a shape elsewhere", () => {
    const [beside, away] = [edgeLikeness(original, square(17, 16, 24), side), edgeLikeness(original, square(36, 34, 24), side)]
    assert.isAbove(beside, 0.5)
    assert.isBelow(away, beside - 0.4)
  })

  it("of a blank page is that of nothing in common", () => {
    const blank = new Uint8Array(side * side * 4).fill(255)
    assert.closeTo(pixelLikeness(original, blank), 0, 1e-6)
    assert.strictEqual(edgeLikeness(blank, blank, side), 1)
  })
})

it.live("prefers what looks like the reference, and refuses a prompt without one", () =>
  Effect.gen(function*() {
    for (const of of ["pixels", "edges"] as const) {
      yield* Effect.gen(function*() {
        const { compare } = yield* Judge
        const verdict = yield* compare(prompt("a square"), pictureOf(square(34, 30, 24)), pictureOf(square(16, 17, 24)))
        assert.strictEqual(verdict.outcome, "B")
        const error = yield* Effect.flip(compare(prompt("a dog"), inked(0.1), inked(0.2)))
        assert.strictEqual(error.message, "There is no reference picture for \"a dog\": add one to the file of references.")
      }).pipe(Effect.provide(JudgeLikeness.layer({ of, references })))
    }
  }))
