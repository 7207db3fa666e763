import { assert, describe, it } from "vitest"
import { promptsAt } from "../../src/curriculum/mix.ts"
import { prompt } from "../stages/make.ts"

const texts = (name: string, n: number) => Array.from({ length: n }, (_, i) => prompt(`${name} ${i}`))
const config = { promptsPerStep: 8, seed: 3 }
/** The names in the prompts of a rollout, without their numbers. */
const drawn = (stages: Parameters<typeof promptsAt>[0], stage: number, rollout: number, since = 0, promptsPerStep = 8) =>
  promptsAt(stages, { stage, since }, rollout, { ...config, promptsPerStep }).map(({ text }) => text)
const count = (names: ReadonlyArray<string>, name: string) => names.filter((text) => text.startsWith(name)).length

describe("the prompts of a rollout", () => {
  const [first, second, third] = [texts("a", 20), texts("b", 20), texts("c", 20)]
  const stages = [{ prompts: first, keep: 0.25 }, { prompts: second, keep: 0.25 }, { prompts: [...first, ...second, ...third], keep: 0.5 }]

  it("come from the stage alone at first, then in the stated share from all earlier ones", () => {
    for (const rollout of [5, 6, 17]) {
      assert.strictEqual(count(drawn(stages, 0, rollout, 5), "a"), 8)
      assert.strictEqual(count(drawn(stages, 1, rollout, 5), "a"), 2)
      assert.strictEqual(count(drawn(stages, 1, rollout, 5), "b"), 6)
      assert.strictEqual(count(drawn(stages, 2, rollout, 5), "c"), 4) // what it repeats of the others counts as earlier
    }
    const earlier = Array.from({ length: 20 }, (_, rollout) => drawn(stages, 2, rollout)).flat().filter((text) => !text.startsWith("c"))
    assert.strictEqual(new Set(earlier).size, 40)
  })

  it("never hold a prompt twice, and come to every prompt", () => {
    const seen = new Set<string>()
    for (let rollout = 7; rollout < 40; rollout++) {
      const names = drawn(stages, 1, rollout, 7)
      assert.strictEqual(new Set(names).size, 8)
      names.forEach((name) => seen.add(name))
    }
    assert.strictEqual(seen.size, 40)
  })

  it("keep the share where the stage adds fewer prompts than a step takes", () => {
    const few = [{ prompts: first, keep: 0.25 }, { prompts: texts("b", 3), keep: 0.25 }]
    const names = drawn(few, 1, 0)
    assert.deepStrictEqual([count(names, "b"), count(names, "a")], [3, 1])
  })

  it("are the stage's own where it adds none, and where nothing is kept", () => {
    assert.strictEqual(count(drawn([{ prompts: first, keep: 0.25 }, { prompts: first.slice(0, 9), keep: 0.25 }], 1, 0), "a"), 8)
    assert.strictEqual(count(drawn([{ prompts: first, keep: 0 }, { prompts: second, keep: 0 }], 1, 0), "b"), 8)
    assert.deepStrictEqual(drawn([{ prompts: first, keep: 0.25 }, { prompts: second, keep: 0.25 }], 1, 0, 0, 1).length, 1)
  })

  it("depend on the seed, the stage's begin and the rollout alone", () => {
    assert.deepStrictEqual(drawn(stages, 1, 9, 4), drawn(stages, 1, 12, 7))
    assert.notDeepEqual(drawn(stages, 1, 9, 4), drawn(stages, 1, 10, 4))
    assert.notDeepEqual(drawn(stages, 1, 9, 4), promptsAt(stages, { stage: 1, since: 4 }, 9, { ...config, seed: 4 }).map(({ text }) => text))
  })
})
