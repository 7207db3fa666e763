/** Weights in few bits: the kernels of onnxruntime read them as they are meant. */
import { assert, describe, it } from "@effect/vitest"
import { createSession, float32 } from "../../layers/onnx/session.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import {
  blockFormats,
  hadamard,
  quantizedShapes,
  type QuantizedPrecision,
  quantizeRows,
  rotate,
  rotationSize
} from "../../src/engine/weights/quantization.ts"
import { random } from "../../src/engine/random.ts"

const precisions: ReadonlyArray<QuantizedPrecision> = ["int8", "int4", "dynamic_int8"]
/** No multiple of a block's size. */
const [rows, width, batch] = [24, 200, 3]
const draw = random(1)
const weights = Float32Array.from({ length: rows * width }, () => draw() - 0.5)
/** Whole numbers, with 127 in every block: in 8 bits with a scale of 1 they are what they are. */
const x = Float32Array.from({ length: batch * width }, (_, i) => (i % width % 16 === 7 ? 127 : Math.round((draw() - 0.5) * 250)))

/** What a stored value stands for. */
const read = (precision: QuantizedPrecision): Float32Array => {
  const { scales, values } = quantizeRows(precision, weights, rows, width)
  return Float32Array.from({ length: rows * width }, (_, at) => {
    const [row, i] = [Math.floor(at / width), at % width]
    if (precision === "dynamic_int8") return (values[i * rows + row]! - 128) * scales[row]!
    const { bits, block } = blockFormats[precision]
    const blocks = Math.ceil(width / block)
    const b = row * blocks + Math.floor(i / block)
    const place = b * block + i % block
    return bits === 8
      ? (values[place]! - 128) * scales[b]!
      : (((values[place >> 1]! >> (place & 1 ? 4 : 0)) & 15) - 8) * scales[b]!
  })
}

const product = (w: Float32Array, by: Float32Array = x) =>
  Float64Array.from({ length: batch * rows }, (_, at) => {
    const [n, row] = [Math.floor(at / rows), at % rows]
    let sum = 0
    for (let i = 0; i < width; i++) sum += by[n * width + i]! * w[row * width + i]!
    return sum
  })

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let [difference, size] = [0, 0]
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2
    size += b[i]! ** 2
  }
  return Math.sqrt(difference / size)
}

describe("quantized matrices", () => {
  it("hold the weights to within half a step of their block", () => {
    for (const precision of precisions) {
      // 4 bits: the largest value of the other sign may be a whole step away.
      const tolerance = precision === "int4" ? 0.5 / 8 : 0.501 * 0.5 / 127
      const back = read(precision)
      weights.forEach((w, at) => assert.closeTo(back[at]!, w, tolerance))
    }
  })

  for (const precision of precisions) {
    it(`${precision}: the kernel multiplies with what is stored`, async () => {
      const { scales, values } = quantizeRows(precision, weights, rows, width)
      const shapes = quantizedShapes(precision, rows, width)
      const g = new Graph()
      const input = g.input("x", "float32", ["row", width])
      const q = g.weight("q", "uint8", shapes.values, { _tag: "Inline", data: values })
      const s = g.weight("s", "float32", shapes.scales, { _tag: "Inline", data: new Uint8Array(scales.buffer) })
      if (precision === "dynamic_int8") {
        const bytes = g.emit("QuantizeLinear", [input, g.scalar(1), middle(g)])
        g.output("y", g.emit("MatMulIntegerToFloat", [bytes, q, g.scalar(1), s, middle(g), middle(g)]))
      } else {
        const { bits, block } = blockFormats[precision]
        g.output("y", g.emit("MatMulNBits", [input, q, s], { K: width, N: rows, bits, block_size: block, accuracy_level: 4 }))
      }
      const session = await createSession(g, { device: "cpu", threads: 1, weights: "prepared" })
      const { y } = await session.run({ x: float32([batch, width], x) })
      await session.release()
      assert.isBelow(distance(y!.data as Float32Array, product(read(precision))), 1e-5)
    })
  }

  it("rotated on both sides, a product is what it was, and a large channel is spread over its part", () => {
    const size = rotationSize("dynamic_int8", width)
    assert.strictEqual(size, 8)
    const turned = product(rotate(weights, size), rotate(x, size))
    assert.isBelow(distance(turned, product(weights)), 1e-6)
    assert.deepStrictEqual([...rotate(Float32Array.of(0, 8, 0, 0), 4)], [4, -4, 4, -4])
    const h = hadamard(4)
    for (let i = 0; i < 16; i++) assert.strictEqual(h[i]!, h[(i % 4) * 4 + Math.floor(i / 4)]!)
    assert.deepStrictEqual(rotate(weights, 1), weights)
  })

  it("parts are powers of two that divide the width, 128 at most; what has a scale a block is not rotated", () => {
    const sizes = (precision: QuantizedPrecision) => [576, 1024, 1536, 77].map((width) => rotationSize(precision, width))
    assert.deepStrictEqual(sizes("dynamic_int8"), [64, 128, 128, 1])
    assert.deepStrictEqual(sizes("int8"), [1, 1, 1, 1])
    assert.deepStrictEqual(sizes("int4"), [1, 1, 1, 1])
  })

  it("a row of zeros stays zero", () => {
    for (const precision of precisions) {
      const { scales, values } = quantizeRows(precision, new Float32Array(width), 1, width)
      assert.isTrue(scales.every((scale) => scale === 0))
      assert.isTrue(values.every((value) => value === (precision === "int4" ? 0x88 : 128)))
    }
  })
})

const middle = (g: Graph) => g.weight(`zero_${g.initializers.length}`, "uint8", [], { _tag: "Inline", data: Uint8Array.of(128) })
