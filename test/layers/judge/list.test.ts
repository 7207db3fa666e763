import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { listRubric } from "../../../layers/guide/list-rubric.ts"
import * as JudgeList from "../../../layers/judge/list.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { type ClaudeServer, startClaudeServer } from "../../support/claude-server.ts"
import { pair } from "../../support/scene-pairs.ts"
import { betterWins, contractAt, decodes, drawings, faulty, guidedAt, withQuickRetry, withServer } from "../guide/guided.ts"

contractAt("list", () => startClaudeServer(), (url) => guidedAt(url, JudgeList.layer()))

const shownHashes = (server: ClaudeServer) =>
  server.bodies.map(({ body }) => body.messages[0]!.content.flatMap((part) => (part.type === "image" ? [part.source.data] : [])))

it.live("asks about K drawings in two calls, reversed, and orders every pair by the scores", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const { compareAll } = yield* Judge
      const { prompt } = pair(2)
      const pictures = drawings(2, 6)
      const verdicts = yield* compareAll!(prompt, pictures)
      assert.strictEqual(server.requests(), 2)
      const [there, back] = shownHashes(server)
      assert.strictEqual(there!.length, 6)
      assert.deepStrictEqual(back, there!.toReversed())
      assert.strictEqual(verdicts.length, 15)
      assert.closeTo(verdicts.reduce((sum, { costUsd }) => sum + costUsd!, 0), server.billed().usd, 1e-12)
      let n = 0
      for (let i = 0; i < 6; i++) {
        for (let j = i + 1; j < 6; j++) {
          const { confidence, outcome, reason, scores } = verdicts[n++]!
          const gap = scores![0] - scores![1]
          assert.strictEqual(outcome, Math.abs(gap) < 5 ? "tie" : gap > 0 ? "A" : "B")
          assert.closeTo(confidence, Math.abs(gap) < 5 ? 0 : Math.abs(gap) / 99, 1e-12)
          assert.match(reason!, /^A is picture \d, \d+: measured .* \| B is picture \d/)
        }
      }
      assert.include(verdicts.map(({ outcome }) => outcome), "A")
      // Another order of the same drawings is the same question.
      const reversed = yield* compareAll!(prompt, pictures.toReversed())
      assert.strictEqual(server.requests(), 2)
      assert.deepStrictEqual(reversed.at(-1)!.scores, [verdicts[0]!.scores![1], verdicts[0]!.scores![0]])
      assert.strictEqual(reversed.reduce((sum, { costUsd }) => sum + costUsd!, 0), 0)
    }).pipe(Effect.provide(guidedAt(server.url, JudgeList.layer())))))

it.live("prefers the drawing that is right wherever it stands", () =>
  withServer({}, (server) =>
    betterWins(8, ({ costUsd }) => assert.closeTo(costUsd!, 2 * 2100 / 1e6, 1e-12)).pipe(Effect.provide(guidedAt(server.url, JudgeList.layer())))))

it.live("a favourite place never becomes a label: pairs on which the orders disagree are ties", () =>
  withServer({ firstPlaceBonus: 10 }, (server) => {
    const { bad, good, prompt } = pair(4)
    const ask = Judge.use(({ compare }) => compare(prompt, good, bad))
    return Effect.gen(function*() {
      const both = yield* ask.pipe(Effect.provide(guidedAt(server.url, JudgeList.layer())))
      assert.strictEqual(both.outcome, "tie")
      assert.include(both.reason, "The orders disagree")
      const one = yield* ask.pipe(Effect.provide(guidedAt(server.url, JudgeList.layer({ orders: 1 }))))
      assert.notStrictEqual(one.outcome, "tie")
    })
  }))

it.live("scores closer than the margin tie", () =>
  withServer({}, (server) => {
    const { bad, good, prompt } = pair(0)
    const at = (tieMargin: number) =>
      Judge.use(({ compare }) => compare(prompt, good, bad)).pipe(
        Effect.provide(guidedAt(server.url, JudgeList.layer({ tieMargin })))
      )
    return Effect.gen(function*() {
      const { scores } = yield* at(0)
      const gap = scores![0] - scores![1]
      assert.isAbove(gap, 0)
      assert.strictEqual((yield* at(gap)).outcome, "A")
      assert.strictEqual((yield* at(gap + 0.5)).outcome, "tie")
    })
  }))

it("more drawings than one call holds: every pair meets in a list of at most eight", () => {
  for (let n = 2; n <= 24; n++) {
    const lists = JudgeList.listsOf(n)
    assert.isTrue(lists.every((list) => list.length <= 8 && list.length > 1), String(n))
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) assert.isTrue(lists.some((l) => l.includes(i) && l.includes(j)))
  }
  assert.deepStrictEqual([1, 2, 8, 9, 16].map((n) => JudgeList.listsOf(n).length), [0, 1, 1, 3, 6])
})

it.live("ten drawings, two of them the same: identical ones tie and are shown once", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const pictures = drawings(3, 9)
      const verdicts = yield* (yield* Judge).compareAll!(pair(3).prompt, [...pictures, pictures[0]!])
      assert.strictEqual(verdicts.length, 45)
      assert.strictEqual(verdicts[8]!.outcome, "tie") // 0 and 9
      assert.strictEqual(server.requests(), 2 * 3)
      assert.strictEqual(new Set(shownHashes(server).flat()).size, 9)
      assert.closeTo(verdicts.reduce((sum, { costUsd }) => sum + costUsd!, 0), server.billed().usd, 1e-12)
    }).pipe(Effect.provide(guidedAt(server.url, JudgeList.layer())))))

it.live("loses nothing and believes no fault at 30 % faults", () =>
  withServer(faulty, (server) =>
    Effect.gen(function*() {
      const { compareAll } = yield* Judge
      const lists = yield* Effect.forEach(
        Array.from({ length: 16 }, (_, n) => pair(n)),
        ({ bad, good, prompt }) => withQuickRetry(compareAll!(prompt, [bad, good])),
        { concurrency: 16 }
      )
      for (const [verdict] of lists) assert.strictEqual(verdict!.outcome, "B")
      assert.isAtLeast(lists.reduce((sum, [verdict]) => sum + verdict!.costUsd!, 0), server.billed().usd - 1e-9)
    }).pipe(Effect.provide(guidedAt(server.url, JudgeList.layer(), { unusableAnswers: 50 })))))

it.live("stops at the budget", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const { compareAll } = yield* Judge
      const errors = yield* Effect.forEach([0, 1, 2, 3], (n) =>
        Effect.result(compareAll!(pair(n).prompt, drawings(n, 4))))
      const stopped = errors.flatMap((result) => (result._tag === "Failure" ? [result.failure._tag] : []))
      assert.include(stopped, "JudgeStopped")
      assert.isAtMost(server.billed().usd, 0.02)
    }).pipe(Effect.provide(guidedAt(server.url, JudgeList.layer(), { budgetUsd: 0.02 })))))

describe("an answer is used only whole", () => {
  const row = (number: number, score: number) => ({ number, note: "", score })
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<object>, boolean]> = [
    ["two of two, in any order", [row(2, 10), row(1, 90)], true],
    ["one of two", [row(1, 90)], false],
    ["three of two", [row(1, 90), row(2, 10), row(3, 1)], false],
    ["one of them twice", [row(1, 90), row(1, 10)], false],
    ["a score of 0", [row(1, 0), row(2, 10)], false],
    ["a score of 101", [row(1, 101), row(2, 10)], false]
  ]
  for (const [name, pictures, usable] of cases) {
    it(name, () => {
      assert.strictEqual(decodes(listRubric(2), { differences: "", pictures }), usable)
    })
  }
})
