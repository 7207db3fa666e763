import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Option } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import * as JudgeClaude from "../../../layers/judge/claude.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { faultKinds, startClaudeServer } from "../../support/claude-server.ts"
import { pair } from "../../support/scene-pairs.ts"
import { betterWins, contractAt, model, withQuickRetry, withServer } from "../guide/guided.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const judgeAt = (url: string, more: Partial<JudgeClaude.JudgeClaudeOptions> = {}) =>
  JudgeClaude.layer({ ...model, baseUrl: url, ...more }).pipe(Layer.provide(Answers.layerMemory))

contractAt("claude", () => startClaudeServer(), judgeAt)

it.live("prefers the drawing that is right, names why, and says what it cost", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      yield* betterWins(12, ({ costUsd, reason }) => {
        assert.match(reason!, /semantic match: .*\| drawing validity: .*\| clean shapes: .*\| safety: /)
        assert.closeTo(costUsd!, 2 * (1200 + 5 * 180) / 1e6, 1e-12)
      })
      assert.closeTo(server.billed().usd, 12 * 2 * 2100 / 1e6, 1e-9)
    }).pipe(Effect.provide(judgeAt(server.url)))))

it.live("sends pixels and the prompt, the key in its header, and nothing else of the environment", () => {
  process.env["ANTHROPIC_CUSTOM_HEADERS"] = "x-leak: secret\nauthorization: Bearer another"
  process.env["ANTHROPIC_AUTH_TOKEN"] = "other-token"
  return withServer({}, (server) =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { bad, good, prompt } = pair(3)
      yield* compare(prompt, good, bad)
      const { body, headers } = server.bodies[0]!
      assert.strictEqual(headers["authorization"], "Bearer sk-test")
      assert.isUndefined(headers["x-leak"])
      assert.notInclude(JSON.stringify(body), "<svg")
      assert.include(JSON.stringify(body), prompt.text)
    }).pipe(Effect.provide(judgeAt(server.url)))).pipe(Effect.ensuring(Effect.sync(() => {
      delete process.env["ANTHROPIC_CUSTOM_HEADERS"]
      delete process.env["ANTHROPIC_AUTH_TOKEN"]
    })))
})

it.live("a favourite place never becomes a label: the orders disagree, so it is a tie", () =>
  withServer({ firstPlaceBonus: 10 }, (server) =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { bad, good, prompt } = pair(4)
      const verdict = yield* compare(prompt, good, bad)
      assert.strictEqual(verdict.outcome, "tie")
      assert.include(verdict.reason, "The orders disagree")
    }).pipe(Effect.provide(judgeAt(server.url)))))

for (const faults of [0.1, 0.3, 0.6]) {
  it.live(`loses no judgment and believes no fault at ${100 * faults} % faults of every kind`, () =>
    withServer({ faults, retryAfter: 5 }, (server) =>
      Effect.gen(function*() {
        const { compare } = yield* Judge
        const verdicts = yield* Effect.forEach(
          Array.from({ length: 60 }, (_, n) => pair(n % 30)),
          ({ bad, good, prompt }, n) =>
            n < 30 ? withQuickRetry(compare(prompt, good, bad)) : withQuickRetry(compare(prompt, bad, good)),
          { concurrency: 16 }
        )
        verdicts.forEach(({ outcome }, n) => assert.strictEqual(outcome, n < 30 ? "A" : "B"))
        assert.isAtLeast(Object.keys(server.faults()).length, faults > 0.2 ? faultKinds.length - 2 : 3)
      }).pipe(Effect.provide(judgeAt(server.url, { deadline: 1.5, unusableAnswers: 50 })))), 180_000)
}

it.live("never spends more than the budget, however many ask at once, and then stops", () =>
  withServer({ faults: 0.3, retryAfter: 1, latency: 5 }, (server) =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const results = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, n) => pair(n)),
        ({ bad, good, prompt }) => Effect.result(withQuickRetry(compare(prompt, good, bad))),
        { concurrency: 16 }
      )
      const stopped = results.flatMap((result) => (result._tag === "Failure" ? [result.failure] : []))
      assert.isAbove(stopped.length, 0)
      for (const error of stopped) {
        assert.strictEqual(error._tag, "JudgeStopped")
        assert.include(error.message, "--budget-usd")
      }
      assert.isAbove(results.length - stopped.length, 2)
      assert.isAtMost(server.billed().usd, 0.1)
    }).pipe(Effect.provide(judgeAt(server.url, { budgetUsd: 0.1, deadline: 1.5, unusableAnswers: 50 })))))

for (const counts of [10, 25]) {
  it.live(`spends no more than the budget where the server counts ${counts} tokens for one`, () =>
    withServer({ counts, latency: 5 }, (server) =>
      Effect.gen(function*() {
        const { compare } = yield* Judge
        const results = yield* Effect.forEach(
          Array.from({ length: 24 }, (_, n) => pair(n)),
          ({ bad, good, prompt }) => Effect.result(withQuickRetry(compare(prompt, good, bad))),
          { concurrency: 16 }
        )
        const told = results.reduce((sum, result) => sum + (result._tag === "Success" ? result.success.costUsd! : 0), 0)
        assert.isAbove(told, 0)
        assert.isAtMost(server.billed().usd, 0.2)
        assert.isAtMost(told, server.billed().usd + 1e-9)
        const stopped = results.find((result) => result._tag === "Failure")!
        assert.match(stopped.failure.message, /The budget of \$0\.2 has \$0\.\d+ left, and the next judgment could cost \$0\.\d+: raise --budget-usd/)
      }).pipe(Effect.provide(judgeAt(server.url, { budgetUsd: 0.2 })))))
}

describe("what ends a run", () => {
  const cases: ReadonlyArray<readonly [number, RegExp]> = [
    [401, /does not accept the key \(no\): check ANTHROPIC_API_KEY/],
    [402, /no credit left/],
    [403, /no permission/],
    [404, /knows no model "claude-haiku-4-5"/]
  ]
  for (const [status, message] of cases) {
    it.live(String(status), () =>
      withServer({ always: { status, message: "no" } }, (server) =>
        Effect.gen(function*() {
          const { compare } = yield* Judge
          const { bad, good, prompt } = pair(0)
          const error = yield* Effect.flip(compare(prompt, good, bad))
          assert.strictEqual(error._tag, "JudgeStopped")
          assert.match(error.message, message)
        }).pipe(Effect.provide(judgeAt(server.url)))))
  }

  it.live("a request that can never succeed costs its own pair only", () =>
    withServer({ always: { status: 413, message: "too large" } }, (server) =>
      Effect.gen(function*() {
        const { compare } = yield* Judge
        const { bad, good, prompt } = pair(0)
        assert.strictEqual((yield* Effect.flip(compare(prompt, good, bad)))._tag, "JudgeRefused")
        assert.strictEqual(server.requests(), 2)
      }).pipe(Effect.provide(judgeAt(server.url)))))

  it.live("nobody at the address", () =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { bad, good, prompt } = pair(0)
      const error = yield* Effect.flip(compare(prompt, good, bad))
      assert.strictEqual(error._tag, "JudgeBusy")
      assert.match(error.message, /cannot be reached .*check the network/)
    }).pipe(Effect.provide(judgeAt("http://127.0.0.1:9"))))
})

it.live("ends within a second when it is interrupted", () =>
  withServer({ latency: 60_000 }, (server) =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const { bad, good, prompt } = pair(0)
      const [elapsed, answer] = yield* Effect.timed(Effect.timeoutOption(compare(prompt, good, bad), 200))
      assert.isTrue(Option.isNone(answer))
      assert.isBelow(Duration.toMillis(elapsed), 1000)
    }).pipe(Effect.provide(judgeAt(server.url)))), 5000)

const work = scratchFolder("answers")

it.live("pays for no question twice, in another run either", () => {
  const file = path.join(work, "new", "answers.db")
  return withServer({}, (server) => {
    const once = Effect.gen(function*() {
      const { compare } = yield* Judge
      const { bad, good, prompt } = pair(0)
      return [yield* compare(prompt, good, bad), yield* compare(prompt, bad, good)] as const
    }).pipe(
      Effect.provide(JudgeClaude.layer({ ...model, baseUrl: server.url }).pipe(Layer.provide(Answers.layer(file))))
    )
    return Effect.gen(function*() {
      const [a, b] = yield* once
      const [c] = yield* once
      assert.strictEqual(server.requests(), 2)
      assert.deepStrictEqual([a.outcome, b.outcome, c.outcome], ["A", "B", "A"])
      assert.isAbove(a.costUsd!, 0)
      assert.strictEqual(b.costUsd, 0)
      assert.strictEqual(c.costUsd, 0)
    })
  })
})

it.effect("layerConfig reads the key from the configuration and says which is missing", () =>
  Effect.gen(function*() {
    const build = (env: Record<string, string>) =>
      Effect.flip(Effect.scoped(Layer.build(JudgeClaude.layerConfig(model).pipe(
        Layer.provide(Answers.layerMemory),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env)))
      ))))
    assert.include(String((yield* build({})).message), "ANTHROPIC_API_KEY")
  }))
