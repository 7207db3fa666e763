import { assert, describe, it } from "vitest"
import { advance, follow, isMeasured, nothing, type Position, start, type Terms } from "../../src/curriculum/stages.ts"
import { saidAtTheEnd, saidOf } from "../../src/curriculum/words.ts"

const stage = (name: string, more: Partial<Terms> = {}): Terms =>
  ({ name, measure: "right", threshold: 0.6, evaluations: 2, every: 3, drawings: 32, keep: 0.25, otherwise: "widen", ...more })

/** The positions of rollouts 0, 1, ..., with these values whenever a stage is measured; undefined where the run has ended. */
const positions = (stages: ReadonlyArray<Terms>, values: ReadonlyArray<number>, rollouts: number) => {
  const left = [...values]
  let at: Position = start
  const seen: Array<Position> = []
  const ends: Array<string> = []
  for (let rollout = 0; rollout < rollouts; rollout++) {
    const [next, end] = advance(stages, at, rollout, isMeasured(stages, at, rollout) ? left.shift() ?? 0 : undefined)
    at = next
    seen.push(at)
    if (end !== undefined) ends.push(saidOf(stages, end))
  }
  return { seen, ends, left: left.length }
}
const stagesOf = ({ seen }: ReturnType<typeof positions>) => seen.map(({ over, stage }) => over === "stopped" ? "." : stage).join("")

describe("a curriculum", () => {
  it("widens once the measure holds for the stated number of evaluations in a row", () => {
    const stages = [stage("one"), stage("two", { evaluations: 1, every: 2 }), stage("three")]
    // measured before rollouts 3, 6, 9 and 12: the miss at 9 begins the count anew
    const run = positions(stages, [0.6, 0.59, 0.7, 0.8, 0.9], 17)
    assert.strictEqual(stagesOf(run), "0".repeat(12) + "11" + "222")
    assert.strictEqual(run.left, 0)
    assert.deepStrictEqual(run.ends, [
      'Stage 1 of 3 ("one") is passed: right is 0.80, and 0.6 was asked for in 2 evaluations in a row. The prompts widen to "two".',
      'Stage 2 of 3 ("two") is passed: right is 0.90, and 0.6 was asked for in one evaluation. The prompts widen to "three".'
    ])
  })

  it("measures no more once the last stage is passed, and goes on drawing from it", () => {
    const { ends, left, seen } = positions([stage("only", { evaluations: 1, every: 1 })], [0.7, 0.1], 4)
    assert.deepStrictEqual(seen.map(({ over }) => over), [undefined, "passed", "passed", "passed"])
    assert.strictEqual(left, 1)
    assert.match(ends.join(), /^Stage 1 of 1 \("only"\) is passed: .* It was the last stage: its prompts stay\.$/)
  })

  it("gives a stage up after its most steps, and widens anyway or ends the run, as it says", () => {
    for (const otherwise of ["widen", "stop"] as const) {
      const run = positions([stage("hard", { every: 2, max_steps: 5, otherwise }), stage("next")], [0.2, 0.3], 8)
      assert.strictEqual(stagesOf(run), otherwise === "widen" ? "00000111" : "00000...")
      assert.deepStrictEqual(run.ends, [
        'Stage 1 of 2 ("hard") never got there in 5 steps: right is 0.30, and 0.6 was asked for in 2 evaluations in a row. ' +
        (otherwise === "widen" ? 'The prompts widen to "next" anyway.' : "The run ends here.")
      ])
    }
  })

  it("passes a stage by the evaluation that is due when its steps are over", () =>
    assert.match(positions([stage("just", { max_steps: 6 }), stage("next")], [0.6, 0.6], 7).ends.join(), /"just"\) is passed/))

  it("says at the end of a run in which stage it ended, if that one is neither passed nor given up", () => {
    const stages = [stage("one"), stage("two")]
    const { seen } = positions(stages, [0.6, 0.6, 0.4], 10)
    assert.strictEqual(
      saidAtTheEnd(stages, seen.at(-1)!, 10),
      'Stage 2 of 2 ("two") was not passed before the run ended, after 4 steps of it: right is 0.40, and 0.6 was asked for in 2 evaluations in a row.'
    )
    assert.match(saidAtTheEnd(stages, start, 1)!, /right was never measured, and 0\.6 was asked for/)
    assert.isUndefined(saidAtTheEnd(stages, { ...start, over: "passed" }, 10))
  })

  it("is where the steps that were reported say it is", () => {
    const stages = [stage("one", { measure: "validity" }), stage("two", { evaluations: 1 })]
    const rows = [{}, {}, {}, { "curriculum/validity": 0.7 }, {}, {}, { "curriculum/validity": 0.8 }, {}, {}, { "curriculum/right": 0.5 }]
      .map((metrics, step) => ({ step, metrics }))
    const { ends, evaluations, position } = rows.reduce(follow(stages), nothing)
    assert.deepStrictEqual(position, { stage: 1, since: 6, inRow: 0, value: 0.5 })
    assert.deepStrictEqual(evaluations, [{ rollout: 3, stage: 0, value: 0.7 }, { rollout: 6, stage: 0, value: 0.8 }, { rollout: 9, stage: 1, value: 0.5 }])
    assert.deepStrictEqual(ends, [{ rollout: 6, stage: 0, kind: "passed", value: 0.8 }])
  })
})
