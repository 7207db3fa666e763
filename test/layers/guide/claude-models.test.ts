/** Each Claude model is asked in its own way, against a server that refuses, counts and charges as the real ones do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import { claudeModel } from "../../../layers/guide/claude-models.ts"
import { batchPrice, costOf, type Price } from "../../../layers/guide/prices.ts"
import * as JudgeClaude from "../../../layers/judge/claude.ts"
import * as JudgeChecklist from "../../../layers/judge/checklist.ts"
import * as JudgeDefects from "../../../layers/judge/defects.ts"
import * as JudgeList from "../../../layers/judge/list.ts"
import { makeClaude } from "../../../layers/guide/claude.ts"
import { Guide } from "../../../layers/guide/guide.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import type { ClaudeServer } from "../../support/claude-server.ts"
import { pair } from "../../support/scene-pairs.ts"
import { betterWins, withQuickRetry, withServer } from "./guided.ts"

const haiku55 = "claude-haiku-5-5"
const apiKey = Redacted.make("sk-test")
const priceOf = (model: string): Price => claudeModel(model).price ?? { input: 2, output: 10 }

const judgeAt = (url: string, model: string, more: Partial<JudgeClaude.JudgeClaudeOptions> = {}) =>
  JudgeClaude.layer({
    apiKey,
    baseUrl: url,
    model,
    price: more.batch ? batchPrice(priceOf(model)) : priceOf(model),
    quiet: 0.05,
    waits: [0.01, 0.1],
    settled: 0.05,
    ...more
  }).pipe(Layer.provide(Answers.layerMemory))

const judgeFirst = Effect.gen(function*() {
  const { compare } = yield* Judge
  const { bad, good, prompt } = pair(0)
  return yield* withQuickRetry(compare(prompt, good, bad))
})
const charged = ({ batches, billed }: ClaudeServer) => billed().usd + batches.charged().usd

describe.each([false, true])("in batches: %s", (batch) => {
  for (const model of ["claude-haiku-4-5", "claude-haiku-4-5-20251001", haiku55, "claude-next"]) {
    it.live(`${model} takes the question, its thinking is not the answer, and the cost is what was charged`, () =>
      withServer({}, (server) =>
        Effect.gen(function*() {
          const { costUsd, outcome } = yield* judgeFirst
          assert.strictEqual(outcome, "A")
          assert.isAbove(costUsd!, 0)
          assert.closeTo(costUsd!, charged(server), 1e-12)
        }).pipe(Effect.provide(judgeAt(server.url, model, { batch })))))
  }

  it.live("an answer that does not fit the context window is a refusal: it is paid for, and not asked for again", () =>
    withServer({ stops: "model_context_window_exceeded" }, (server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(judgeFirst)
        assert.strictEqual(error._tag, "JudgeRefused")
        assert.include(error.message, "context window")
        assert.strictEqual(server.billed().answers + server.batches.charged().times.size, 2) // the two orders
        assert.closeTo((error as { readonly costUsd?: number }).costUsd!, charged(server), 1e-12)
      }).pipe(Effect.provide(judgeAt(server.url, haiku55, { batch })))))

  it.live("a refusal is asked about again, and is then a refusal of the judge's", () =>
    withServer({ stops: "refusal" }, (server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(judgeFirst)
        assert.strictEqual(error._tag, "JudgeRefused")
        assert.match(error.message, /Claude refused to judge this, 2 times/)
      }).pipe(Effect.provide(judgeAt(server.url, haiku55, { batch, unusableAnswers: 2 })))))

  it.live("never spends more than the budget on a model that thinks", () =>
    withServer({}, (server) =>
      Effect.gen(function*() {
        const { compare } = yield* Judge
        const results = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, n) => pair(n)),
          ({ bad, good, prompt }) => Effect.result(withQuickRetry(compare(prompt, good, bad))),
          { concurrency: 16 }
        )
        assert.isAbove(results.filter(({ _tag }) => _tag === "Success").length, 0)
        const stopped = results.find((result) => result._tag === "Failure")!
        assert.strictEqual(stopped.failure._tag, "JudgeStopped")
        // What was set aside: the words at a token a byte, and thousands of tokens to think.
        assert.isAtLeast(Number(/could cost \$([\d.]+)/.exec(stopped.failure.message)![1]), costOf(priceOf(haiku55), 1200, 4700) / (batch ? 2 : 1) / 1e9)
        assert.isAtMost(charged(server), 0.02)
      }).pipe(Effect.provide(judgeAt(server.url, haiku55, { batch, budgetUsd: 0.02 })))))
})

it.live("temperature and effort go only to a model that takes them", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      for (const model of ["claude-haiku-4-5", haiku55, "claude-next"]) yield* judgeFirst.pipe(Effect.provide(judgeAt(server.url, model)))
      const sent = new Map(server.bodies.map(({ body }) => [body.model, [body.temperature, body.output_config.effort]]))
      assert.deepStrictEqual([...sent], [["claude-haiku-4-5", [0, undefined]], [haiku55, [undefined, "low"]], ["claude-next", [undefined, undefined]]])
    })))

for (const [name, judge] of Object.entries({ list: JudgeList.layer(), checklist: JudgeChecklist.layer(), defects: JudgeDefects.layer() })) {
  it.live(`--judge ${name} leaves ${haiku55} room to think`, () =>
    withServer({}, (server) => {
      const options = { apiKey, baseUrl: server.url, model: haiku55, price: priceOf(haiku55) }
      return betterWins(2, () => {}).pipe(
        Effect.andThen(Effect.sync(() => assert.deepStrictEqual(server.faults(), {}))),
        Effect.provide(judge.pipe(Layer.provide(Guide.layer(makeClaude(options), options)), Layer.provide(Answers.layerMemory)))
      )
    }))
}

it("a call with a long prompt is charged at the long prompt's price, in batches at half of it", () => {
  const price = priceOf(haiku55)
  assert.deepStrictEqual([price.input, price.output], [0.1, 0.5])
  assert.strictEqual(costOf(price, 100_000, 1000), 100_000 * 100 + 1000 * 500)
  assert.strictEqual(costOf(price, 100_001, 1000), 100_001 * 500 + 1000 * 2500)
  assert.strictEqual(costOf(batchPrice(price), 100_001, 1000), Math.ceil(100_001 * 250 + 1000 * 1250))
})
