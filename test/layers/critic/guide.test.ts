/** A guide model as critic, over the Messages API: paid once, stored, within its budget, and a problem where its answer is none. */
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as CriticGuide from "../../../layers/critic/guide.ts"
import { Answers } from "../../../layers/guide/answers.ts"
import { makeClaude } from "../../../layers/guide/claude.ts"
import { critiqueRubric } from "../../../layers/guide/critique-rubric.ts"
import { Guide, type GuideOptions } from "../../../layers/guide/guide.ts"
import { Critic, type Draft } from "../../../src/stages/Critic.ts"
import { pair } from "../../support/scene-pairs.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { decodes, model, withServer } from "../guide/guided.ts"

const work = scratchFolder("critic")
const price = (1200 + 5 * 180) / 1e6

const criticAt = (url: string, more: Partial<GuideOptions> = {}, answers = Answers.layerMemory) =>
  CriticGuide.layer.pipe(
    Layer.provide(Guide.layer(makeClaude({ ...model, baseUrl: url }), { ...model, ...more })),
    Layer.provide(answers)
  )
const critique = (drafts: ReadonlyArray<Draft>) => Critic.use((critic) => critic.critique(drafts))
const drafts = (n: number): ReadonlyArray<Draft> => {
  const { bad, good, prompt } = pair(n)
  return [good, bad].map((picture) => ({ prompt, rendering: { _tag: "Rendered", picture } }))
}
const sum = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0)

it("asks for a score from 0 to 10 in a form that has no bounds of its own", () => {
  const good = { score: 0, critique: "", suggestions: "" }
  assert.isTrue(decodes(critiqueRubric, good) && decodes(critiqueRubric, { ...good, score: 10 }))
  for (const score of [-0.1, 10.1, NaN, Infinity, "5", null]) assert.isFalse(decodes(critiqueRubric, { ...good, score }), String(score))
  assert.notMatch(JSON.stringify(critiqueRubric.schema), /minimum|maximum/)
})

it.live("says what is wrong with each drawing, in order, and what that cost; a text that is no picture costs nothing", () =>
  withServer({ latency: 3 }, (server) =>
    Effect.gen(function*() {
      const asked = [0, 1, 2, 3].flatMap(drafts)
      const none: Draft = { prompt: asked[0]!.prompt, rendering: { _tag: "Killed", reason: "deadline", detail: "" } }
      const [first, ...told] = yield* critique([none, ...asked])
      assert.deepStrictEqual(first, { critique: { score: 0, critique: "There is no picture: deadline.", suggestions: "Write a whole, well-formed drawing." }, tokens: 0, costUsd: 0 })
      for (const [n, { costUsd, critique, problem, tokens }] of told.entries()) {
        assert.match(critique!.critique, / measures \d/)
        if (n % 2 === 1) assert.isBelow(critique!.score, told[n - 1]!.critique!.score)
        assert.deepStrictEqual([problem, tokens], [undefined, 0])
        assert.closeTo(costUsd, price, 1e-12)
      }
      assert.strictEqual(server.requests(), 8)
      assert.closeTo(server.billed().usd, sum(told.map(({ costUsd }) => costUsd)), 1e-12)
      assert.notInclude(JSON.stringify(server.bodies), "<svg")
    }).pipe(Effect.provide(criticAt(server.url)))))

it.live("the same drawing is paid once, also if it is asked twice at the same time", () =>
  withServer({ latency: 5 }, (server) =>
    Effect.gen(function*() {
      const [draft] = drafts(5)
      const together = yield* critique([draft!, draft!])
      const later = yield* critique([draft!])
      assert.deepStrictEqual(together[1]!.critique, together[0]!.critique)
      assert.deepStrictEqual(later[0]!.critique, together[0]!.critique)
      assert.strictEqual(server.billed().answers, 1)
      assert.closeTo(sum([...together, ...later].map(({ costUsd }) => costUsd)), price, 1e-12)
    }).pipe(Effect.provide(criticAt(server.url)))))

it.live("the next process reads the stored answers of one that was killed, and pays none twice", () =>
  withServer({ latency: 2 }, (server) =>
    Effect.gen(function*() {
      const stored = () => criticAt(server.url, {}, Answers.layer(path.join(work, "answers.db")))
      const asked = [0, 1, 2].flatMap(drafts)
      const first = yield* critique(asked.slice(0, 4)).pipe(Effect.provide(stored()))
      const again = yield* critique(asked).pipe(Effect.provide(stored()))
      assert.deepStrictEqual(again.slice(0, 4).map(({ critique }) => critique), first.map(({ critique }) => critique))
      assert.deepStrictEqual(again.map(({ costUsd }) => costUsd > 0), [false, false, false, false, true, true])
      assert.strictEqual(server.billed().answers, 6)
      assert.isTrue([...server.charged.values()].every((times) => times === 1))
    })))

it.live("an answer that is none is a problem, with its cost, and fails nothing", () =>
  withServer({ unanswerable: 0.5 }, (server) =>
    Effect.gen(function*() {
      const told = yield* critique(Array.from({ length: 12 }, (_, n) => drafts(n)[0]!))
      const lost = told.filter(({ critique }) => critique === undefined)
      assert.isTrue(lost.length > 2 && lost.length < 10, String(lost.length))
      for (const { costUsd, problem } of lost) {
        assert.isAbove(problem!.length, 0)
        assert.notInclude(problem!, "\n")
        assert.isAbove(costUsd, 0)
      }
      assert.closeTo(sum(told.map(({ costUsd }) => costUsd)), server.billed().usd, 1e-9)
    }).pipe(Effect.provide(criticAt(server.url, { unusableAnswers: 2 })))))

it.live("stops at its budget, which it does not pass", () =>
  withServer({ latency: 2 }, (server) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(critique([0, 1, 2, 3, 4, 5, 6, 7].flatMap(drafts)))
      assert.strictEqual(error._tag, "JudgeStopped")
      assert.include(error.message, "--budget-usd")
      assert.isAtMost(server.billed().usd, 0.015)
    }).pipe(Effect.provide(criticAt(server.url, { budgetUsd: 0.015 })))))

it.live("a better drawing beside it is shown after it, and another question", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const [good, bad] = drafts(6)
      yield* critique([bad!])
      yield* critique([{ ...bad!, reference: good!.rendering }])
      const shown = server.bodies.map(({ body }) => body.messages[0]!.content.map(({ type }) => type))
      assert.deepStrictEqual(shown, [["text", "image"], ["text", "image", "text", "image"]])
    }).pipe(Effect.provide(criticAt(server.url)))))
