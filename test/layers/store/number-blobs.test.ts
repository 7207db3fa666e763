import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { blobOf, blobOfJson, IntColumn, listIn } from "../../../layers/store/number-blobs.ts"

const hex = (blob: Uint8Array) => Buffer.from(blob).toString("hex")
const letter = (numbers: ReadonlyArray<number>) => String.fromCharCode(blobOf(numbers)[0]!)
/** Every bit but a NaN's: what is not equal by Object.is is another number. */
const same = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => a.length === b.length && a.every((value, n) => Object.is(value, b[n]))

/** Each type's values by another reader's hand: Node's Buffer. */
const read = (blob: Uint8Array): ReadonlyArray<number> => {
  const bytes = Buffer.from(blob)
  const readers = {
    H: [2, (at: number) => bytes.readUInt16BE(at)], i: [4, (at: number) => bytes.readInt32BE(at)],
    f: [4, (at: number) => bytes.readFloatBE(at)], d: [8, (at: number) => bytes.readDoubleBE(at)]
  } as const
  const [size, value] = readers[String.fromCharCode(bytes[0]!) as keyof typeof readers]
  return Array.from({ length: (bytes.length - 1) / size }, (_, n) => value(1 + size * n))
}

const special = [0, -0, 1, -1, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 53, 0.5, -0.1, -1 / 3, 5e-324, 2 ** -149, 2 ** -150, 3.4028234663852886e38, 3.403e38, 1.7976931348623157e308, NaN, Infinity, -Infinity]

describe("a list of numbers as a blob", () => {
  it.prop("holds any of them, to the last bit", [Schema.Array(Schema.Union([Schema.Number, Schema.Int, Schema.Literals(special.filter(Number.isFinite))]))], ([numbers]) =>
    same(read(blobOf(numbers)), numbers))

  it.prop("comes back as it was where it may: finite", [Schema.Array(Schema.Union([Schema.Finite, Schema.Int]))], ([numbers]) => same(listIn(blobOf(numbers)), numbers))

  it("holds every pair of the borders of its types", () => {
    for (const a of special) for (const b of special) assert.isTrue(same(read(blobOf([a, b])), [a, b]), `${a}, ${b}`)
  })

  it("is of the smallest type that holds every value", () => {
    assert.deepStrictEqual([[], [0, 65_535], [3, 65_536], [-1], [2 ** 31], [0.5, -0.25], [-0], [NaN, Infinity], [-0.1], [2 ** 53, 0.5], [5e-324]].map(letter), ["H", "H", "i", "i", "f", "f", "f", "f", "d", "f", "d"])
    assert.strictEqual(hex(blobOf([])), "48")
    assert.strictEqual(hex(blobOf([1, 258])), "4800010102")
    assert.strictEqual(hex(blobOf([-2])), "69fffffffe")
    assert.strictEqual(hex(blobOf([-0.5])), "66bf000000")
    assert.strictEqual(hex(blobOf([-0.1])), "64bfb999999999999a")
  })

  it("is read wherever it lies in its memory", () => {
    const blob = blobOf([-0.1, -1 / 3])
    for (const offset of [1, 3, 8]) assert.deepStrictEqual(listIn(new Uint8Array([...new Uint8Array(offset), ...blob, 9]).subarray(offset, offset + blob.length)), [-0.1, -1 / 3])
  })

  it("is read where it is still the JSON of older versions", () => {
    assert.deepStrictEqual(listIn("[1,-0.3333333333333333]"), [1, -1 / 3])
    assert.deepStrictEqual(listIn("[]"), [])
    assert.strictEqual(hex(blobOfJson("[1,258]")), "4800010102")
  })

  it("that is damaged is refused by name", () => {
    const refusal = (value: unknown) => {
      try {
        return listIn(value)
      } catch (cause) {
        return (cause as Error).message
      }
    }
    assert.strictEqual(refusal(new Uint8Array()), "A list of numbers is damaged: it has no byte.")
    assert.strictEqual(refusal(new Uint8Array([9, 0, 0])), "A list of numbers is damaged: its type is the unknown byte 9.")
    assert.strictEqual(refusal(blobOf([-0.1]).subarray(0, 8)), "A list of numbers is damaged: a value of its type d has 8 bytes, and 7 follow.")
    for (const value of [blobOf([NaN]), blobOf([Infinity]), "[1,null]", "[1", "5", 5, null, undefined]) assert.isString(refusal(value))
    assert.throws(() => Schema.decodeUnknownSync(IntColumn)(blobOf([0.5])))
  })

  it.prop("of any bytes is a list or refused", [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))], ([bytes]) => {
    try {
      return listIn(Uint8Array.from(bytes)).length <= bytes.length / 2
    } catch (cause) {
      return cause instanceof Error && /damaged|finite/i.test(cause.message)
    }
  })

  it("of JSON that is no list is kept, and refused when it is read", () => {
    for (const json of ["[1,", "{\"a\":1}", "", "[1,null]"]) {
      assert.strictEqual(Buffer.from(blobOfJson(json)).toString(), json)
      assert.throws(() => listIn(blobOfJson(json)))
    }
  })
})
