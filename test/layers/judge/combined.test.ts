import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as JudgeBlend from "../../../layers/judge/blend.ts"
import * as JudgeCascade from "../../../layers/judge/cascade.ts"
import * as JudgeFake from "../../../layers/judge/fake.ts"
import * as JudgePanel from "../../../layers/judge/panel.ts"
import { models } from "../../../layers/judge/scorers.ts"
import { type Outcome, Verdict } from "../../../src/domain.ts"
import { Judge, JudgeBusy, JudgeRefused } from "../../../src/stages/Judge.ts"
import { judgeContract } from "../../stages/Judge.contract.ts"
import { inked, prompt } from "../../stages/make.ts"

const calls: Record<string, number> = {}
const says = (name: string, answer: Outcome | "busy" | "refused", confidence = 0.8) =>
  Layer.succeed(Judge, {
    name,
    identity: name,
    concurrency: 4,
    compare: Effect.fnUntraced(function*() {
      calls[name] = (calls[name] ?? 0) + 1
      if (answer === "busy") return yield* new JudgeBusy({ message: "busy" })
      if (answer === "refused") return yield* new JudgeRefused({ message: "no", costUsd: 0.25 })
      return new Verdict({ outcome: answer, confidence: answer === "tie" ? 0 : confidence, by: name, costUsd: 0.5 })
    })
  })
const ask = Judge.use(({ compare }) => compare(prompt("a cat"), inked(0.2), inked(0.4)))

judgeContract("panel", JudgePanel.layer([
  { judge: JudgeFake.layer({ target: 0.4 }) },
  { judge: JudgeFake.layer({ target: 0.6 }), weight: 2 },
  { judge: JudgeFake.layer({ target: 0.2 }) }
]))
judgeContract("blend", JudgeBlend.layer([
  { judge: JudgeFake.layer({ target: 0.4 }) },
  { judge: JudgeFake.layer({ target: 0.9 }), weight: 3 }
]))
judgeContract("cascade", JudgeCascade.layer(JudgeFake.layer({ target: 0.4 }), JudgeFake.layer({ target: 0.5 })))

describe("panel", () => {
  const panel = (votes: ReadonlyArray<readonly [Outcome | "busy" | "refused", number?]>, rule?: JudgePanel.PanelRule) =>
    ask.pipe(Effect.provide(JudgePanel.layer(votes.map(([vote, weight = 1], n) => ({ judge: says(`j${n}`, vote), weight })), rule)))

  it.effect("needs more than half of all weight, abstentions and ties included", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* panel([["A"], ["A"], ["B"]])).outcome, "A")
      assert.strictEqual((yield* panel([["A"], ["B"]])).outcome, "tie")
      assert.strictEqual((yield* panel([["A"], ["tie"]])).outcome, "tie")
      assert.strictEqual((yield* panel([["A"], ["B", 3], ["A"]])).outcome, "B")
      assert.strictEqual((yield* panel([["A"], ["refused"], ["refused"]])).outcome, "tie")
      assert.strictEqual((yield* panel([["A"], ["A"], ["refused"]])).outcome, "A")
    }))

  it.effect("unanimity needs all", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* panel([["A"], ["A"], ["tie"]], "unanimity")).outcome, "tie")
      assert.strictEqual((yield* panel([["B"], ["B"]], "unanimity")).outcome, "B")
    }))

  it.effect("pareto: one is for it, none against it, and all have answered", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* panel([["A"], ["tie"], ["tie"]], "pareto")).outcome, "A")
      assert.strictEqual((yield* panel([["A"], ["A"], ["B", 0.01]], "pareto")).outcome, "tie")
      assert.strictEqual((yield* panel([["B"], ["refused"]], "pareto")).outcome, "tie")
      assert.strictEqual((yield* panel([["tie"], ["tie"]], "pareto")).outcome, "tie")
    }))

  it.effect("adds up what was paid, says who voted how, and is as sure as its votes are one-sided", () =>
    Effect.gen(function*() {
      const verdict = yield* panel([["A"], ["A"], ["B"], ["refused"]], "majority")
      assert.strictEqual(verdict.outcome, "tie")
      assert.strictEqual(verdict.costUsd, 1.75)
      assert.strictEqual(verdict.reason, "j0: A | j1: A | j2: B")
      assert.closeTo((yield* panel([["A"], ["A"], ["B"]])).confidence, 0.8 / 3, 1e-12)
    }))

  it.effect("fails as its members do", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(panel([["A"], ["busy"]])))._tag, "JudgeBusy")
      const error = yield* Effect.flip(panel([["refused"], ["refused"]]))
      assert.deepInclude({ ...error }, { _tag: "JudgeRefused", costUsd: 0.5 })
    }))
})

describe("blend", () => {
  /** Scores by picture, in whatever unit. */
  const scoring = (name: string, scores: ReadonlyArray<number>) =>
    Layer.succeed(Judge, {
      name,
      identity: name,
      concurrency: 4,
      compare: (_, a, b) => {
        const both = [a, b].map(({ hash }) => scores[pictures.findIndex((picture) => picture.hash === hash)]!)
        return Effect.succeed(new Verdict({ outcome: "tie", confidence: 0, by: name, scores: [both[0]!, both[1]!], costUsd: 0.5 }))
      }
    })
  const pictures = [inked(0.1), inked(0.2), inked(0.3)]
  const all = (...judges: ReadonlyArray<JudgeBlend.BlendTerm<never, never>>) =>
    Judge.use((judge) => judge.compareAll!(prompt("a cat"), pictures)).pipe(Effect.provide(JudgeBlend.layer(judges)))

  it.effect("no judge counts more because its unit is larger", () =>
    Effect.gen(function*() {
      // z-scores (-1.22, 0, 1.22) and (1.41, -0.71, -0.71): a plain sum would follow the first alone.
      const verdicts = yield* all({ judge: scoring("large", [0, 1000, 2000]) }, { judge: scoring("small", [0.3, 0, 0]), weight: 2 })
      assert.deepStrictEqual(verdicts.map(({ outcome }) => outcome), ["A", "A", "B"])
      const worth = [(-Math.sqrt(1.5) + 2 * Math.SQRT2) / 3, -Math.SQRT2 / 3, (Math.sqrt(1.5) - Math.SQRT2) / 3]
      verdicts[1]!.scores!.forEach((score, i) => assert.closeTo(score, worth[2 * i]!, 1e-9))
      assert.strictEqual(verdicts.reduce((sum, { costUsd = 0 }) => sum + costUsd, 0), 2)
    }))

  it.effect("a judge whose scores are all equal says nothing", () =>
    Effect.gen(function*() {
      const verdicts = yield* all({ judge: scoring("one", [3, 2, 1]) }, { judge: scoring("flat", [7, 7, 7]) })
      assert.deepStrictEqual(verdicts.map(({ outcome }) => outcome), ["A", "A", "A"])
    }))

  it.effect("a term with a range is worth what its score is within it, in either direction", () =>
    Effect.gen(function*() {
      const verdicts = yield* all(
        { judge: scoring("logits", [10, 22.5, 40]), range: [15, 30], weight: 3 },
        { name: "length", judge: scoring("tokens", [50, 100, 300]), range: [200, 0] }
      )
      const worth = [0 + 0.75 / 4, (3 * 0.5 + 0.5) / 4, 3 / 4 + 0]
      assert.deepStrictEqual(verdicts.map(({ outcome }) => outcome), ["B", "B", "B"])
      verdicts[1]!.scores!.forEach((score, i) => assert.closeTo(score, worth[2 * i]!, 1e-12))
      assert.deepStrictEqual(verdicts[1]!.terms, { logits: [10, 40], length: [50, 300] })
      assert.strictEqual(verdicts[1]!.reason, "logits 10 and 40 | length 50 and 300")
    }))

  it.effect("a drawing under a gate is worth as little as can be, whatever else is said for it", () =>
    Effect.gen(function*() {
      const gate = (least: number) => ({ judge: scoring("gate", [0.2, 5, 5]), range: [0, 10] as const, least })
      const best = { judge: scoring("best", [9, 1, 0]), range: [0, 10] as const, weight: 9 }
      const scores = (of: ReadonlyArray<Verdict>) => [of[0]!.scores![0], of[0]!.scores![1], of[1]!.scores![1]]
      assert.strictEqual((yield* all(gate(0), best))[0]!.outcome, "A")
      const shut = yield* all(gate(0.3), best)
      assert.deepStrictEqual(scores(shut), [0, 0.5 / 10 + 9 * 0.1 / 10, 0.5 / 10])
      // Without ranges: no z-score of three is under -√2, and nothing is worth less than the one that is shut out.
      const free = yield* all({ judge: scoring("gate", [0.2, 5, 5]), least: 0.3 }, { judge: scoring("best", [9, 1, 0]), weight: 9 })
      assert.closeTo(scores(free)[0]!, -Math.SQRT2, 1e-12)
      assert.isBelow(scores(free)[0]!, Math.min(scores(free)[1]!, scores(free)[2]!))
    }))

  it.effect("refuses where a judge gives no scores", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(all({ judge: says("votes", "A") }))
      assert.deepInclude({ ...error }, { _tag: "JudgeRefused", costUsd: 1 })
      assert.strictEqual(error.message, "votes gives no scores, and a blend adds scores")
    }))
})

describe("cascade", () => {
  const cascade = (first: Layer.Layer<Judge>) =>
    ask.pipe(Effect.provide(JudgeCascade.layer(first, says("dear", "B"), { confidence: 0.7 })))

  it.effect("asks the dear judge only where the cheap one is not sure", () =>
    Effect.gen(function*() {
      calls["dear"] = 0
      assert.strictEqual((yield* cascade(says("cheap", "A", 0.8))).by, "cheap")
      assert.strictEqual(calls["dear"], 0)
      assert.strictEqual((yield* cascade(says("cheap", "A", 0.6))).by, "dear")
      assert.strictEqual((yield* cascade(says("cheap", "tie"))).by, "dear")
      assert.strictEqual((yield* cascade(says("cheap", "refused"))).by, "dear")
      assert.strictEqual(calls["dear"], 3)
    }))
})

it("every judge in layers/ is held to the contract", () => {
  const here = path.join(import.meta.dirname)
  const tests = [here, path.join(here, "..")].flatMap((folder) =>
    fs.readdirSync(folder).filter((name) => name.endsWith(".test.ts")).map((name) => fs.readFileSync(path.join(folder, name), "utf8"))
  ).join("\n")
  // What several of them share is no judge; each scoring model is one.
  const shared = ["reference-pictures", "scorers", "scores"]
  const files = fs.readdirSync(path.join(here, "../../../layers/judge")).map((name) => path.basename(name, ".ts"))
  const judges = [...files.filter((name) => !shared.includes(name)), ...Object.keys(models)]
  assert.isAbove(judges.length, 14)
  for (const judge of judges) {
    const held = new RegExp(`(judgeContract|contractAt)\\(\\s*"${judge}\\b`)
    assert.match(tests, held, `layers/judge/${judge}.ts`)
  }
})
