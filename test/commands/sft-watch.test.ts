/** What evaluations decide in `vequinox sft`, and its flags that say so. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { evaluationOf } from "../../src/commands/sft-evaluate.ts"
import { rulesOf } from "../../src/commands/sft-rules.ts"
import { isOver, stageAfter, unwatched, watch, type Watched } from "../../src/commands/sft-watch.ts"

const rules = { steps: 90, patience: 2, stages: 1, stageImprovement: 0.1 }
/** Evaluations after 10, 20, ... steps. */
const after = (losses: ReadonlyArray<number>, given = rules, stageLosses: ReadonlyArray<number | undefined> = losses): Watched =>
  losses.reduce((watched, loss, n) => watch(watched, 10 * (n + 1), { loss, stageLoss: stageLosses[n] }, given), unwatched)

describe("the best evaluation and the end", () => {
  it("is the first of the lowest; patience begins anew with each", () => {
    assert.deepStrictEqual(after([3, 2, 2.5, 1.5, 1.5]), { starts: [0], best: { step: 40, loss: 1.5 }, without: 1 })
    assert.isFalse(isOver(after([3, 2, 2.5, 1.5, 1.5]), rules))
    assert.isTrue(isOver(after([3, 2, 2.5, 2]), rules))
    assert.isFalse(isOver(after([3, 2, 2.5, 2]), { ...rules, patience: 0 }))
  })
  it("is unmoved by steps without an evaluation", () => assert.strictEqual(watch(after([3]), 11, undefined, rules).best?.step, 10))
})

describe("stages", () => {
  const staged = { ...rules, stages: 3, steps: 300 }
  it("go on when an evaluation lowers the loss of their own rows too little, counted anew in each stage", () => {
    assert.deepStrictEqual(after([3, 2.5], staged).starts, [0])
    assert.deepStrictEqual(after([3, 2.5, 2.4], staged).starts, [0, 30])
    assert.deepStrictEqual(after([3, 2.5, 2.4, 9], staged).starts, [0, 30])
    assert.deepStrictEqual(after([3, 2.5, 2.4, 9, 8.9], staged).starts, [0, 30, 50])
    assert.deepStrictEqual(after([3, 3, 3, 3, 3, 3], staged).starts, [0, 20, 40])
  })
  it("go on by their share of the steps alone where nothing is measured", () => {
    let watched = unwatched
    for (let step = 1; step <= 300; step++) watched = watch(watched, step, undefined, staged)
    assert.deepStrictEqual(watched.starts, [0, 100, 200])
    assert.deepStrictEqual(after([3, 3, 3], staged, [undefined, undefined, undefined]).starts, [0])
    assert.deepStrictEqual([0, 99, 100, 299].map((made) => stageAfter(watched, made)), [0, 0, 1, 2])
  })
  it("come first: patience counts in the last", () => {
    const first = after([3, 4, 5, 6, 7, 8], staged) // stages began after 20 and 40 steps
    assert.deepStrictEqual([first.without, isOver(first, staged)], [2, true])
    assert.isFalse(isOver(after([3, 4, 5, 6, 7], staged), staged))
    assert.deepStrictEqual(first.best, { step: 10, loss: 3 })
  })
})

describe("an evaluation", () => {
  const rows = [{ kind: "direct", stage: 0 }, { kind: "critique", stage: 1 }, { kind: "direct", stage: 1 }] as const
  const logps = [[-1, -2, -3], [-4], [-2]]
  it("is a mean over tokens, of all rows, of each kind that is there, and of a stage", () => {
    const { evaluated, metrics } = evaluationOf(rows, logps, 1)
    assert.deepStrictEqual(metrics, { eval_loss: 12 / 5, eval_direct_loss: 2, eval_critique_loss: 4, eval_stage_loss: 3 })
    assert.deepStrictEqual(evaluated, { loss: 12 / 5, stageLoss: 3 })
  })
  it("has no stage without a curriculum, or where none of its rows is held out", () => {
    assert.notProperty(evaluationOf(rows, logps, undefined).metrics, "eval_stage_loss")
    assert.isUndefined(evaluationOf(rows, logps, 2).evaluated.stageLoss)
  })
})

describe("flags", () => {
  const none = Option.none<never>()
  const bare = { mix: none, evalData: [], evalShare: 0, evalSteps: none, patience: 0, loadBest: none, stages: 0, complexity: none, stageImprovement: none }
  it.effect("mean nothing where nothing is asked for", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* rulesOf(bare, 10), { evaluates: false, loadBest: false, stages: 1, patience: 0, mix: undefined })
      assert.deepInclude(yield* rulesOf({ ...bare, evalShare: 0.1 }, 10), { evaluates: true, loadBest: true, evalSteps: 50 })
      assert.deepInclude(yield* rulesOf({ ...bare, evalData: ["a"], loadBest: Option.some(false) }, 10), { evaluates: true, loadBest: false })
    }))
  const wrong: ReadonlyArray<readonly [string, Partial<Parameters<typeof rulesOf>[0]>, RegExp]> = [
    ["patience", { patience: 1 }, /^--early-stopping-patience means nothing without --eval-data or --eval-share: give that too, or leave it out\.$/],
    ["steps", { evalSteps: Option.some(1) }, /^--eval-steps means nothing without/],
    ["the best", { loadBest: Option.some(true) }, /^--load-best-model-at-end means nothing without/],
    ["a measure", { complexity: Option.some("tokens"), stages: 1 }, /^--complexity means nothing without --curriculum-stages 2 or more/],
    ["an improvement", { stageImprovement: Option.some(0.1), stages: 2 }, /^--stage-improvement means nothing without --eval-data or --eval-share/],
    ["two sources", { evalData: ["a"], evalShare: 0.1 }, /^--eval-data and --eval-share both say which rows are measured/],
    ["stages", { stages: 11 }, /^--curriculum-stages 11 are more than --steps 10: take fewer\.$/],
    ["a mix", { mix: Option.some("dpo=1") }, /^--mix is dpo=1: Expected kinds with weights/]
  ]
  for (const [name, given, expected] of wrong) {
    it.effect(`that mean nothing are refused: ${name}`, () =>
      Effect.map(Effect.flip(rulesOf({ ...bare, ...given }, 10)), ({ message }) => assert.match(message, expected)))
  }
})
