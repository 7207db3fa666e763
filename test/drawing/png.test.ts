import { assert, describe, it } from "@effect/vitest"
import { crc32, inflateSync } from "node:zlib"
import { encodePng } from "../../src/drawing/png.ts"

/** Reads only what encodePng writes: 8 bits a channel, filter 0, one IDAT. */
const decode = (png: Uint8Array) => {
  const bytes = Buffer.from(png)
  assert.strictEqual(bytes.subarray(0, 8).toString("hex"), "89504e470d0a1a0a")
  const chunks = new Map<string, Buffer>()
  for (let at = 8; at < bytes.length;) {
    const length = bytes.readUInt32BE(at)
    assert.strictEqual(bytes.readUInt32BE(at + 8 + length), crc32(bytes.subarray(at + 4, at + 8 + length)))
    chunks.set(bytes.toString("latin1", at + 4, at + 8), bytes.subarray(at + 8, at + 8 + length))
    at += length + 12
  }
  assert.deepStrictEqual([...chunks.keys()], ["IHDR", "IDAT", "IEND"])
  const header = chunks.get("IHDR")!
  const [width, height, channels] = [header.readUInt32BE(0), header.readUInt32BE(4), header[9] === 2 ? 3 : 4]
  const rows = inflateSync(chunks.get("IDAT")!)
  const rgba = new Uint8Array(width * height * 4).fill(255)
  for (let y = 0; y < height; y++) {
    assert.strictEqual(rows[y * (width * channels + 1)], 0)
    for (let x = 0; x < width; x++) {
      const from = y * (width * channels + 1) + 1 + x * channels
      rgba.set(rows.subarray(from, from + channels), (y * width + x) * 4)
    }
  }
  return { width, height, channels, rgba }
}

describe("encodePng", () => {
  const noise = (width: number, height: number, opaque: boolean) =>
    Uint8Array.from({ length: width * height * 4 }, (_, i) => opaque && i % 4 === 3 ? 255 : (i * 2654435761) >>> 24)

  for (const [width, height] of [[1, 1], [7, 3], [64, 64], [1, 200]] as const) {
    for (const opaque of [true, false]) {
      it(`${width} x ${height}, ${opaque ? "opaque" : "with alpha"}: decodes to the same pixels`, () => {
        const rgba = noise(width, height, opaque)
        assert.deepStrictEqual(decode(encodePng(width, height, rgba)), { width, height, channels: opaque ? 3 : 4, rgba })
      })
    }
  }

  it("refuses pixels of another size", () => {
    assert.throws(() => encodePng(2, 2, new Uint8Array(15)), RangeError)
    assert.throws(() => encodePng(0, 2, new Uint8Array(0)), RangeError)
  })
})
