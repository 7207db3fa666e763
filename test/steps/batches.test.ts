import { assert, describe, it } from "vitest"
import { promptsOfStep } from "../../src/steps/batches.ts"
import { prompts } from "../support/fake-stages.ts"

describe("promptsOfStep", () => {
  const of = (step: number, promptsPerStep = 4, seed = 1) =>
    promptsOfStep(prompts, { promptsPerStep, seed }, step).map(({ id }) => id)

  it("repeats no prompt within an epoch and shuffles each epoch anew", () => {
    for (const epoch of [0, 1, 2]) {
      const ids = [...of(2 * epoch), ...of(2 * epoch + 1)] // 11 prompts: two steps of 4, three prompts wait
      assert.strictEqual(new Set(ids).size, 8)
    }
    assert.notDeepEqual(of(0), of(2))
    assert.notDeepEqual(of(0), of(0, 4, 2))
    assert.deepStrictEqual(of(5), of(5))
  })

  it("comes to every prompt sooner or later", () =>
    assert.strictEqual(new Set(Array.from({ length: 40 }, (_, step) => of(step)).flat()).size, 11))

  it("takes all prompts when there are too few, none of none", () => {
    assert.strictEqual(new Set(of(3, 50)).size, 11)
    assert.deepStrictEqual(promptsOfStep([], { promptsPerStep: 4, seed: 1 }, 3), [])
  })
})
