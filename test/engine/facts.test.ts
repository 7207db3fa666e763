import { assert, describe, it } from "@effect/vitest"
import { factCount, factFeeds, faults, type Row } from "../../models/facts.ts"
import { initialParameters } from "../../src/engine/weights/parameters.ts"
import { parseCaption } from "../../src/scenes/index.ts"

const rows = (...captions: ReadonlyArray<string>) => {
  const { facts, known } = factFeeds(captions.map((text) => ({ scene: parseCaption(text)! })))
  const row = (of: typeof facts, n: number) => Array.from(of!.data as Float32Array).slice(n * factCount, (n + 1) * factCount)
  return captions.map((_, n) => ({ facts: row(facts, n), known: row(known, n) }))
}
const ones = (xs: ReadonlyArray<number>) => xs.filter((x) => x === 1).length

describe("what a CLIP in training is told of a scene", () => {
  it("is the same for a relation and its converse, and another thing for the two exchanged", () => {
    const [above, under, exchanged] = rows("a red star above a blue hat", "a blue hat under a red star", "a blue hat above a red star")
    assert.deepStrictEqual(above!.facts, under!.facts)
    assert.strictEqual(ones(above!.facts), 4)
    assert.strictEqual(above!.facts.filter((fact, n) => fact === 1 && exchanged!.facts[n] === 1).length, 0)
  })

  it("leaves open the colours that a caption does not name, and nothing else", () => {
    const [named, open] = rows("a red pelican riding a blue bicycle", "a pelican riding a blue bicycle")
    assert.strictEqual(ones(named!.known), factCount - faults.length)
    assert.strictEqual(ones(open!.known), factCount - faults.length - 10)
    assert.strictEqual(ones(open!.facts), ones(named!.facts) - 1)
  })

  it("says of a caption nothing about faults, of a drawing all", () => {
    const scene = parseCaption("a red pelican riding a blue bicycle")!
    const known = (row: Row) => ones(Array.from(factFeeds([row])["known"]!.data as Float32Array))
    const holding = (row: Row) => ones(Array.from(factFeeds([row])["facts"]!.data as Float32Array))
    assert.strictEqual(known({ scene, fault: "none" }), factCount)
    assert.strictEqual(known({ scene }), factCount - faults.length)
    assert.strictEqual(known({ scene: undefined, fault: "detached" }), faults.length)
    assert.strictEqual(holding({ scene, fault: "none" }), holding({ scene }))
    assert.strictEqual(holding({ scene, fault: "detached" }), holding({ scene }) + 1)
  })
})

describe("initial parameters", () => {
  const deviation = (shape: ReadonlyArray<number>, name: string): number => {
    const { data } = initialParameters(new Map([[name, shape]]), 1).get(name)!
    return Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length)
  }

  it("carry a signal of deviation 1 through a matrix or a convolution of any width", () => {
    assert.approximately(deviation([64, 256], "fc1.weight"), 1 / 16, 0.003)
    assert.approximately(deviation([64, 3, 16, 16], "patch_embedding.weight"), 1 / Math.sqrt(768), 0.002)
    assert.approximately(deviation([512, 64], "token_embedding.weight"), 0.02, 0.001)
  })
})
