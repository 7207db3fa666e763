import { assert, describe, it } from "vitest"
import { outcomeOf, stageHistory } from "../../src/curriculum/history.ts"
import { curriculum } from "../../src/report/curriculum.ts"

const terms = { measure: "right", threshold: 0.6, evaluations: 1, every: 2, drawings: 32, keep: 0.25, otherwise: "widen", prompts: 1234, held_out: 9 }
const configOf = (...more: ReadonlyArray<object>) => ({ seed: 1, curriculum_stages: more.map((each, n) => ({ ...terms, name: `stage <${n}>`, ...each })) })
/** Steps with what was measured before them. */
const rowsOf = (values: ReadonlyArray<number | undefined>) =>
  values.map((value, step) => ({ step, metrics: { step, ...(value === undefined ? {} : { "curriculum/right": value }) } }))
const _ = undefined

describe("what became of a curriculum", () => {
  const config = configOf({}, { max_steps: 3 }, { evaluations: 2 }, {})
  const rows = rowsOf([_, _, 0.4, _, 0.7, _, 0.1, _, _, 0.8, _])

  it("is read from a run's settings and steps", () => {
    const stages = stageHistory(config, rows, false)
    assert.deepStrictEqual(stages.map(({ evaluations, from, outcome, to }) => [outcome, from, to, evaluations.map(({ step, value }) => [step, value])]), [
      ["passed", 0, 4, [[2, 0.4], [4, 0.7]]],
      ["given up", 4, 7, [[6, 0.1]]],
      ["under way", 7, null, [[9, 0.8]]],
      ["not begun", null, null, []]
    ])
    assert.deepStrictEqual(stages.map((stage) => outcomeOf(stage, true)), [
      "passed before step 5", "given up before step 8: it never got there", "not passed before the run ended", "not begun"
    ])
  })

  it("tells a stage that ended its run from one that the run ended in", () => {
    const of = (finished: boolean, steps: number) =>
      stageHistory(configOf({ max_steps: 4, otherwise: "stop" }), rowsOf([_, _, 0.5, _].slice(0, steps)), finished)[0]!.outcome
    assert.deepStrictEqual([of(true, 4), of(true, 3), of(false, 4)], ["ended the run", "under way", "under way"])
  })

  it("is nothing without a curriculum, or with one that cannot be read", () => {
    for (const other of [{}, { curriculum_stages: [] }, { curriculum_stages: "?" }, { curriculum_stages: [{ name: 1 }] }]) {
      assert.deepStrictEqual(stageHistory(other, rows, true), [])
      assert.strictEqual(curriculum({ config: other, finished: true, metrics: [] }).markup, "")
    }
  })

  it("is a table of the report", () => {
    const { markup } = curriculum({ config, finished: false, metrics: rows.map(({ metrics }) => metrics) })
    for (const part of ["stage &lt;0&gt;", "<td>1,234</td>", "right at least 0.6, twice in a row", "<td>1–4</td>", "0.40  0.70", "passed before step 5", "<td>8–11</td>", "not passed so far", "not begun"]) {
      assert.include(markup, part)
    }
    assert.notMatch(markup, /undefined|null|NaN/)
  })
})
