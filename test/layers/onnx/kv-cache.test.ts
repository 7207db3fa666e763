import { assert, describe, it } from "vitest"
import { KeyValueCache } from "../../../layers/onnx/kv-cache.ts"
import { checkpoint } from "../../support/embedded-policy.ts"

const { config } = checkpoint
const { headDim, kvHeads, layers } = config

/** One token's keys for every row: each value says row and time. */
const token = (rows: number, time: number) =>
  Float32Array.from({ length: layers * rows * kvHeads * headDim }, (_, i) => 1000 * (Math.floor(i / (kvHeads * headDim)) % rows) + time)
const push = (cache: KeyValueCache, rows: number, time: number, goesOn = (_row: number) => true) => 
  cache.push(token(rows, time), token(rows, time), Array.from({ length: rows }, (_, row) => ({ row, from: row, count: 1 })).filter(({ row }) => goesOn(row)))
const capacity = (cache: KeyValueCache): number => cache.feeds()["mask"]!.shape.at(-1)!
/** What a row sees in the first layer, by time. */
const seen = (cache: KeyValueCache, row: number): Array<number> => {
  const feeds = cache.feeds()
  const [mask, keys, places] = [feeds["mask"]!.data as Float32Array, feeds["past_k.0"]!.data as Float32Array, capacity(cache)]
  return Array.from({ length: places }, (_, t) => t).filter((t) => mask[row * places + t] === 0)
    .map((t) => keys[(row * kvHeads * places + t) * headDim]!)
}

describe("the cache of keys and values", () => {
  it("gives a row that has ended no more room, however long it keeps its place", () => {
    const cache = new KeyValueCache(config)
    cache.arrange([undefined, undefined])
    for (let t = 0; t < 20; t++) push(cache, 2, t)
    const before = capacity(cache)
    for (let life = 0; life < 10; life++) {
      cache.beginEmpty(0) // the first place is taken again and again, the second one's sequence has ended
      for (let t = 0; t < 20; t++) push(cache, 2, t, (row) => row === 0)
    }
    assert.strictEqual(capacity(cache), before)
    assert.deepStrictEqual(seen(cache, 1), Array.from({ length: 20 }, (_, t) => 1000 + t))
  })

  it("gives back the room of a long row that has left, and keeps what the others hold", () => {
    const cache = new KeyValueCache(config)
    cache.arrange([undefined, undefined])
    for (let t = 0; t < 40; t++) push(cache, 2, t)
    for (let t = 40; t < 500; t++) push(cache, 2, t, (row) => row === 0)
    assert.isAtLeast(capacity(cache), 500)
    cache.trim()
    assert.isAtLeast(capacity(cache), 500) // the long row is still there
    const held = seen(cache, 1)
    cache.beginEmpty(0)
    cache.trim()
    assert.strictEqual(capacity(cache), 64)
    assert.deepStrictEqual(seen(cache, 1), held)
    push(cache, 2, 7)
    assert.deepStrictEqual(seen(cache, 0), [7])
    assert.deepStrictEqual(seen(cache, 1), [...held, 1007])
  })
})
