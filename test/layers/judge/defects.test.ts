import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema } from "effect"
import { defectsRubric } from "../../../layers/guide/defects-rubric.ts"
import { type Ask, sharing } from "../../../layers/guide/sharing.ts"
import * as JudgeDefects from "../../../layers/judge/defects.ts"
import { Judge, JudgeBusy, type JudgeError } from "../../../src/stages/Judge.ts"
import { startClaudeServer } from "../../support/claude-server.ts"
import { pair } from "../../support/scene-pairs.ts"
import { betterWins, contractAt, decodes, drawings, guidedAt, survivesFaults, withServer } from "../guide/guided.ts"

contractAt("defects", () => startClaudeServer(), (url) => guidedAt(url, JudgeDefects.layer()))

it.live("pays for each drawing once, though asked about all pairs at once, and the verdicts add up to the bill", () =>
  withServer({ latency: 20 }, (server) =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const pictures = drawings(2, 5)
      const pairs = pictures.flatMap((a, i) => pictures.slice(i + 1).map((b) => [a, b] as const))
      const verdicts = yield* Effect.forEach(pairs, ([a, b]) => compare(pair(2).prompt, a, b), { concurrency: "unbounded" })
      assert.strictEqual(server.requests(), 5)
      assert.closeTo(verdicts.reduce((sum, { costUsd }) => sum + costUsd!, 0), server.billed().usd, 1e-12)
      for (const { confidence, outcome, scores } of verdicts) {
        const gap = scores![0] - scores![1]
        assert.strictEqual(outcome, Math.abs(gap) < 0.05 ? "tie" : gap > 0 ? "A" : "B")
        assert.closeTo(confidence, outcome === "tie" ? 0 : Math.min(1, Math.abs(gap)), 1e-12)
      }
    }).pipe(Effect.provide(guidedAt(server.url, JudgeDefects.layer())))))

it.live("prefers the drawing with less wrong, and says what is", () =>
  withServer({}, (server) =>
    betterWins(8, ({ reason }) => {
      assert.match(reason!, /^A: .* \| B: /)
      assert.match(reason!, /(artifact|misalignment) \d+: \w/)
    }).pipe(Effect.provide(guidedAt(server.url, JudgeDefects.layer())))))

it.live("scores closer than the margin tie", () =>
  withServer({}, (server) => {
    const { bad, good, prompt } = pair(0)
    return Effect.gen(function*() {
      const { outcome, scores } = yield* (yield* Judge).compare(prompt, good, bad)
      assert.strictEqual(outcome, "tie")
      assert.isAbove(scores![0], scores![1])
    }).pipe(Effect.provide(guidedAt(server.url, JudgeDefects.layer({ tieMargin: 1000 }))))
  }))

survivesFaults(JudgeDefects.layer())

it.live("stops at the budget", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { bad, good, prompt } = pair(0)
      yield* compare(prompt, good, bad)
      const error = yield* Effect.flip(compare(pair(1).prompt, pair(1).good, pair(1).bad))
      assert.strictEqual(error._tag, "JudgeStopped")
      assert.isAtMost(server.billed().usd, 0.016)
    }).pipe(Effect.provide(guidedAt(server.url, JudgeDefects.layer(), { budgetUsd: 0.016 })))))

const defect = { box_2d: [0, 0, 500, 500], label: "artifact", description: "a [loose] wheel", importance: 40 }
const list = JSON.stringify([defect])

describe("reads what models say that are held to no form", () => {
  const read = (text: string) =>
    Effect.map(
      Effect.option(Schema.decodeEffect(Schema.fromJsonString(defectsRubric.answer))(defectsRubric.read!(text))),
      (found) => found._tag === "Some" ? found.value.defects.length : undefined
    )
  const cases: ReadonlyArray<readonly [string, string, number | undefined]> = [
    ["the form that was asked for", `{"defects":${list}}`, 1],
    ["a bare list", list, 1],
    ["an empty list", "[]", 0],
    ["the detector's own way", `<think>\nThe wheel at [12, 30] {is} loose.\n</think>\n<answer>\n${list}\n</answer>`, 1],
    ["thoughts that quote an answer", `<think>maybe [] or ${list}</think>[]`, 0],
    ["a fence", "```json\n" + list + "\n```", 1],
    ["words with brackets before it", `I see [one] defect:\n${list}\nThat is all.`, 1],
    ["thoughts that never end", `<think>so far ${list}`, undefined],
    ["no JSON", "Nothing is wrong.", undefined],
    ["cut off", list.slice(0, -5), undefined]
  ]
  for (const [name, text, expected] of cases) {
    it.effect(name, () => Effect.gen(function*() {
      assert.strictEqual(yield* read(text), expected)
    }))
  }
  it("and believes no box of three numbers, no other label, no importance of 0", () => {
    const good = (of: object) => decodes(defectsRubric, { defects: [{ ...defect, ...of }] })
    assert.deepStrictEqual(
      [{}, { box_2d: [0, 0, 5] }, { label: "ugly" }, { importance: 0 }, { importance: 101 }].map(good),
      [true, false, false, false, false]
    )
  })
})

describe("sharing", () => {
  const plain = (ask: () => Effect.Effect<string, JudgeError>): Ask => <A>() =>
    ask() as Effect.Effect<unknown, JudgeError> as Effect.Effect<A, JudgeError>
  const question = { id: "q", rubric: defectsRubric, parts: [] }

  it.effect("a failure reaches all who wait, and the next one asks again", () =>
    Effect.gen(function*() {
      let asked = 0
      const gate = yield* Deferred.make<void>()
      const ask = sharing(plain(() =>
        Effect.andThen(Deferred.await(gate), () =>
          ++asked === 1 ? Effect.fail(new JudgeBusy({ message: "busy" })) : Effect.succeed("yes"))
      ))
      const waiting = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(Effect.result(ask(question)), { startImmediately: true }))
      yield* Deferred.succeed(gate, undefined)
      for (const fiber of waiting) assert.strictEqual((yield* Fiber.join(fiber))._tag, "Failure")
      assert.strictEqual(asked, 1)
      assert.strictEqual((yield* ask(question)) as unknown, "yes")
      assert.strictEqual(asked, 2)
    }))

  it.effect("where the one who asked goes away, another asks", () =>
    Effect.gen(function*() {
      let asked = 0
      const ask = sharing(plain(() => Effect.suspend(() => (++asked === 1 ? Effect.never : Effect.succeed("yes")))))
      const first = yield* Effect.forkChild(ask(question), { startImmediately: true })
      const second = yield* Effect.forkChild(ask(question), { startImmediately: true })
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* Fiber.join(second)) as unknown, "yes")
      assert.strictEqual(asked, 2)
    }))
})
