/** Filters over many tokens, beside the rule that sorts them all. */
import { assert, describe, it } from "@effect/vitest"
import { keptOf, narrowed, plain } from "../../src/engine/sampling/sampling.ts"
import { random } from "../../src/engine/random.ts"

const softmax = (x: ReadonlyArray<number>) => {
  const e = x.map((value) => Math.exp(value - Math.max(...x)))
  const sum = e.reduce((a, b) => a + b, 0)
  return e.map((value) => value / sum)
}

/** As transformers says it: from the least on, what stays within 1 - p goes. */
const nucleus = (shares: ReadonlyArray<number>, topP: number): ReadonlyArray<number> => {
  const ascending = [...shares.keys()].sort((a, b) => shares[a]! - shares[b]!)
  let sum = 0
  const gone = ascending.slice(0, -1).findIndex((id) => (sum += shares[id]!) > 1 - topP)
  return (gone < 0 ? ascending.slice(-1) : ascending.slice(gone)).sort((a, b) => a - b)
}

const close = (got: Float64Array, expected: ReadonlyArray<number>) => {
  assert.strictEqual(got.length, expected.length)
  expected.forEach((x, n) => assert.closeTo(got[n]!, x, 1e-9))
}
const shareOf = (shares: ReadonlyArray<number>) => {
  const sum = shares.reduce((a, b) => a + b, 0)
  return shares.map((x) => x / sum)
}

describe.each([
  ["peaked", 4, 0],
  ["nearly flat", 0.1, 0],
  ["of few values, so with many ties", 2, 0.5]
])("logits %s", (_, scale, step) => {
  const next = random(7, scale)
  const logits = Float32Array.from({ length: 3000 }, () => {
    const x = scale * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
    return step === 0 ? x : Math.round(x / step) * step
  })
  const shares = softmax([...logits])

  it.each([0.01, 0.3, 0.9, 0.95, 0.999])("top_p %d", (topP) => {
    const ids = nucleus(shares, topP)
    const kept = keptOf(logits, { ...plain, topP })
    assert.deepStrictEqual([...kept.ids], ids)
    close(kept.shares, shareOf(ids.map((id) => shares[id]!)))
    const single = Float32Array.from(shares)
    assert.deepStrictEqual([...narrowed(single, { ...plain, topP }).ids], nucleus([...single], topP))
  })

  it.each([1, 7, 1500, 2999, 3000])("top_k %d", (topK) => {
    const least = [...logits].sort((a, b) => b - a)[topK - 1]!
    assert.deepStrictEqual([...keptOf(logits, { ...plain, topK }).ids], [...logits.keys()].filter((id) => logits[id]! >= least))
  })

  it("min_p, after top_p and by itself", () => {
    const ids = nucleus(shares, 0.9)
    const over = (some: ReadonlyArray<number>) => some.filter((id) => shares[id]! >= 0.2 * Math.max(...shares))
    assert.deepStrictEqual([...keptOf(logits, { ...plain, topP: 0.9, minP: 0.2 }).ids], over(ids))
    assert.deepStrictEqual([...narrowed(Float32Array.from(shares), { ...plain, minP: 0.2 }).ids], over([...shares.keys()]))
  })
})

it("tokens that are all alike: the last stay", () => {
  assert.deepStrictEqual([...keptOf(new Float32Array(8), { ...plain, topP: 0.25 + 1e-9 }).ids], [5, 6, 7])
  assert.deepStrictEqual([...keptOf(new Float32Array(8), { ...plain, topP: 1e-9 }).ids], [7])
})

it("tokens that cannot be are no reason to leave others out", () => {
  assert.deepStrictEqual([...keptOf(Float32Array.of(-3, -Infinity, -1), { ...plain, topK: 2 }).ids], [0, 2])
  assert.deepStrictEqual([...keptOf(Float32Array.of(-Infinity, -Infinity, -1, -Infinity), { ...plain, topK: 2 }).shares].filter((share) => share > 0), [1])
})
