import { assert, describe, it } from "vitest"
import { Drafts, historyTokens } from "../../src/engine/sampling/drafts.ts"

const of = (sequences: ReadonlyArray<ReadonlyArray<number>>, most = 8) => new Drafts(sequences, { most, vocab: 100 })

describe("drafts from earlier sequences", () => {
  it("go on as what followed the same tokens most often, up to where that is no longer likely", () => {
    const drafts = of([[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 4], [1, 2, 3, 4]])
    assert.deepStrictEqual(drafts.propose([]), [1, 2, 3, 4])
    assert.deepStrictEqual(drafts.propose([1, 2]), [3, 4])
    // Four ways to go on are as likely: none is over 0.4.
    assert.deepStrictEqual(of([[1, 2], [1, 3], [1, 4], [1, 5]]).propose([1]), [])
  })

  it("believe the longest context that was seen", () => {
    const drafts = of([[7, 1, 2, 8], [7, 1, 2, 8], [6, 1, 2, 9], [7, 1, 2, 8], [7, 1, 2, 8]])
    assert.deepStrictEqual(drafts.propose([6, 1, 2]), [9])
    assert.deepStrictEqual(drafts.propose([5, 1, 2]), [8])
  })

  it("are never longer than asked for, nor than there is room", () => {
    const long = [Array.from({ length: 50 }, (_, t) => t)]
    assert.lengthOf(of(long, 3).propose([0]), 2) // seen once: 2/3 likely, and 4/9, and then 8/27
    const often = Array.from({ length: 40 }, () => long[0]!)
    assert.lengthOf(of(often, 3).propose([0]), 3)
    assert.lengthOf(of(often, 3).propose([0], 2), 2)
    assert.lengthOf(of(often, 3).propose([0], 0), 0)
    assert.lengthOf(of(often, 3).propose([0], -1), 0)
  })

  it("know nothing of sequences that hold what is no token, and nothing without any", () => {
    assert.deepStrictEqual(of([]).propose([1]), [])
    assert.deepStrictEqual(of([[1, 2, 100], [1, 2, -1], [1, 2.5], [1, NaN]]).propose([1]), [])
  })

  it("are made of the newest tokens, however many there are", () => {
    const old = Array.from({ length: 3000 }, () => [1, 2, 3])
    const longer = Array.from({ length: historyTokens + 500 }, (_, t) => 10 + t % 5)
    assert.deepStrictEqual(of([longer, ...old]).propose([1]), [])
    assert.deepStrictEqual(of([longer, ...old]).propose([11, 12, 13, 14]), [10, 11, 12, 13, 14, 10, 11, 12])
    const [three, four] = [[2, 1, 3], [2, 1, 4]]
    assert.deepStrictEqual(of([three, three, four, four]).propose([2, 1]), [3])
    assert.deepStrictEqual(of([four, four, three, three]).propose([2, 1]), [4])
  })
})
