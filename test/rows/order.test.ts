import { assert, describe, it } from "vitest"
import { random, shuffled } from "../../src/engine/random.ts"
import type { Role } from "../../src/roles/roles.ts"
import { complexityOf, drawingOf, stageBounds, stageOf } from "../../src/rows/complexity.ts"
import { parseMix } from "../../src/rows/mix.ts"
import { TrainingOrder } from "../../src/rows/order.ts"

const rowsOf = (counts: Partial<Record<Role, number>>, stage = 0) =>
  (Object.entries(counts) as Array<[Role, number]>).flatMap(([kind, n]) => Array.from({ length: n }, () => ({ kind, stage })))

describe("weights of kinds", () => {
  it("are read", () => assert.deepStrictEqual([...parseMix("direct=1, critique=.5,correction=0")!], [["direct", 1], ["critique", 0.5]]))
  it.each(["", "direct", "direct=", "direct=-1", "direct=x", "direct=1,direct=1", "dpo=1", "direct=0", "direct=1=2", "direct=Infinity", "direct=1e9"])("%s is none", (text) =>
    assert.isUndefined(parseMix(text)))
})

describe("the order of training", () => {
  const rows = rowsOf({ direct: 50, correction: 20, critique: 5 })

  it("without a mix is that of shuffled epochs", () => {
    const order = new TrainingOrder(rows, undefined, 7)
    const epochs = [0, 1].flatMap((epoch) => shuffled(random(7, epoch), [...rows.keys()]))
    assert.deepStrictEqual([...order.take(40, 0), ...order.take(110, 0)], epochs)
  })

  it("with a mix gives each kind its share of every stretch, and its rows epoch by epoch", () => {
    const order = new TrainingOrder(rows, parseMix("direct=1,correction=1,critique=0.5"), 7).take(250, 0)
    const shares = (part: ReadonlyArray<number>, kind: Role) => part.filter((row) => rows[row]!.kind === kind).length
    assert.deepStrictEqual((["direct", "correction", "critique"] as const).map((kind) => shares(order, kind)), [100, 100, 50])
    assert.deepStrictEqual((["direct", "correction", "critique"] as const).map((kind) => shares(order.slice(0, 5), kind)), [2, 2, 1])
    const direct = order.filter((row) => row < 50)
    assert.lengthOf(new Set(direct.slice(0, 50)), 50)
    assert.notDeepEqual(direct.slice(0, 50), direct.slice(50))
  })

  it("leaves out what has no weight, and waits for kinds that a later stage brings", () => {
    assert.isTrue(new TrainingOrder(rows, parseMix("correction=1"), 7).take(40, 0).every((row) => rows[row]!.kind === "correction"))
    const staged = [...rowsOf({ direct: 4 }), ...rowsOf({ correction: 4 }, 1)]
    const order = new TrainingOrder(staged, parseMix("direct=1,correction=1"), 7)
    assert.isTrue(order.take(9, 0).every((row) => row < 4))
    assert.strictEqual(order.take(10, 1).filter((row) => row >= 4).length, 5)
  })

  it("of a stage has its rows and those before it, and begins anew with each", () => {
    const staged = [...rowsOf({ direct: 6 }), ...rowsOf({ direct: 6 }, 1)]
    const order = new TrainingOrder(staged, undefined, 7)
    assert.isTrue(order.take(9, 0).every((row) => row < 6))
    assert.lengthOf(new Set(order.take(12, 1)), 12)
    const again = new TrainingOrder(staged, undefined, 7)
    again.take(9, 0)
    const other = new TrainingOrder(staged, undefined, 7)
    other.take(9, 0)
    assert.deepStrictEqual(again.take(30, 1), other.take(30, 1))
  })
})

describe("complexity", () => {
  const drawing = "<svg viewBox=\"0 0 64 64\"><path d=\"M1.5 2l.5-3\"/></svg>"
  it("counts tokens, opening tags or numbers", () =>
    assert.deepStrictEqual((["tokens", "elements", "numbers"] as const).map((by) => complexityOf(drawing, by, (text) => text.length)), [drawing.length, 2, 8]))
  it("is that of the answer, or of the drawing that a critique is about", () => {
    const context = [{ role: "user", content: `a cat\n${drawing}\nWhat is wrong?` }]
    assert.strictEqual(drawingOf({ kind: "critique", context, answer: "{}" }), drawing)
    assert.strictEqual(drawingOf({ kind: "critique", context: [{ role: "user", content: "Seen: red" }], answer: "{}" }), "")
    assert.strictEqual(drawingOf({ kind: "correction", context, answer: "<path/>" }), "<path/>")
  })
  it("divides rows into stages of about the same size, and equal rows never", () => {
    const values = [5, 1, 9, 3, 2, 2, 7, 8, 0]
    const bounds = stageBounds(values, 3)!
    assert.deepStrictEqual(bounds, [2, 7])
    assert.deepStrictEqual(values.map((value) => stageOf(value, bounds)), [1, 0, 2, 1, 0, 0, 1, 2, 0])
    assert.deepStrictEqual(stageBounds(values, 1), [])
    assert.isUndefined(stageBounds([3, 3, 3, 4], 3))
    assert.isUndefined(stageBounds([0, 0], 2))
  })
})
