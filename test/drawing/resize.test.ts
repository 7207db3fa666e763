import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { type Filter, resize } from "../../src/drawing/resize.ts"

const golden = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../golden/resize.json"), "utf8")) as {
  readonly width: number
  readonly height: number
  readonly cases: ReadonlyArray<{ filter: Filter; width: number; height: number; rgba: string }>
}
const rgba = Uint8Array.from(
  { length: golden.width * golden.height * 4 },
  (_, i) => (i % 4 === 3 ? 255 : (i * i * 31 + i * 7919) % 251)
)

describe("resize gives Pillow's bytes", () => {
  for (const { filter, height, rgba: expected, width } of golden.cases) {
    it(`${filter} to ${width} x ${height}`, () => {
      const made = resize(rgba, golden.width, golden.height, width, height, filter)
      assert.deepStrictEqual(Buffer.from(made).toString("base64"), expected)
    })
  }

  it("changes nothing when the size stays", () => {
    const same = resize(rgba, golden.width, golden.height, golden.width, golden.height, "bicubic")
    assert.deepStrictEqual(same, rgba)
    assert.notStrictEqual(same.buffer, rgba.buffer)
  })
})
