import { assert, describe, it } from "@effect/vitest"
import { random } from "../../src/engine/random.ts"
import { encodeSafetensors, headerLength, parseHeader, SafetensorsError, toBfloat16, toFloat32 } from "../../src/engine/weights/safetensors.ts"

const draw = random(3)
const data = Float32Array.from({ length: 1000 }, () => (draw() - 0.5) * 10 ** (8 * draw() - 5))
const file = (dtype: "F32" | "F16" | "BF16") => encodeSafetensors(new Map([["w", { shape: [10, 100], data }]]), dtype)
const read = (bytes: Uint8Array) => {
  const length = headerLength(bytes.subarray(0, 8), bytes.length)
  const entry = parseHeader(bytes.subarray(8, 8 + length), bytes.length).get("w")!
  return toFloat32(bytes.subarray(entry.offset, entry.offset + entry.length), entry.dtype)
}

describe("safetensors", () => {
  it("float32 comes back bit for bit", () => assert.deepStrictEqual(read(file("F32")), data))

  // Half a unit in the last place: 2^-11 and 2^-8 of the value; below 2^-14 float16 is spaced evenly.
  it.each([["F16", 2 ** -11, 2 ** -25], ["BF16", 2 ** -8, 0]] as const)("%s comes back rounded to nearest", (dtype, relative, absolute) => {
    read(file(dtype)).forEach((x, i) => assert.isAtMost(Math.abs(x - data[i]!), relative * Math.abs(data[i]!) + absolute))
  })

  it.each([
    [1, 0x3f80],
    [1 + 2 ** -8, 0x3f80], // between 0x3f80 and 0x3f81: the even one
    [1 + 3 * 2 ** -8, 0x3f82], // between 0x3f81 and 0x3f82
    [1 + 2 ** -8 + 2 ** -23, 0x3f81],
    [1 + 3 * 2 ** -8 - 2 ** -23, 0x3f81],
    [-1 - 2 ** -8, 0xbf80],
    [-1 - 3 * 2 ** -8, 0xbf82],
    [2 - 2 ** -23, 0x4000], // carries into the exponent
    [2 ** -149, 0],
    [2 ** -134, 0], // half of the smallest
    [3 * 2 ** -134, 2],
    [-0, 0x8000],
    [(2 - 2 ** -7) * 2 ** 127, 0x7f7f],
    [(2 - 2 ** -23) * 2 ** 127, 0x7f80], // out of range
    [-Infinity, 0xff80],
    [NaN, 0x7fc0]
  ])("bfloat16 of %f is rounded to nearest, ties to even", (x, bits) => assert.strictEqual(toBfloat16(x), bits))

  it("rounding is a fixed point: what was read is written the same", () => {
    const once = read(file("F16"))
    const again = encodeSafetensors(new Map([["w", { shape: [10, 100], data: once }]]), "F16")
    assert.deepStrictEqual(read(again), once)
  })

  it("refuses what is cut off or lies about its size", () => {
    const bytes = file("F32")
    const cut = bytes.length - 4
    const length = headerLength(bytes.subarray(0, 8), bytes.length)
    assert.throws(() => parseHeader(bytes.subarray(8, 8 + length), cut), SafetensorsError, "ends after the file does")
    assert.throws(() => headerLength(new Uint8Array(8).fill(255), 100), SafetensorsError)
    assert.throws(() => headerLength(new Uint8Array(3), 3), SafetensorsError)
    assert.throws(() => parseHeader(new TextEncoder().encode("{oops"), 100), SafetensorsError, "not JSON")
  })
})
