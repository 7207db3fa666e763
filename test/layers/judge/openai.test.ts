import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Redacted, Schedule } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import * as JudgeOpenAI from "../../../layers/judge/openai.ts"
import { Judge, type JudgeError } from "../../../src/stages/Judge.ts"
import { faultKinds, type OpenAIServer, type OpenAIServerOptions, startOpenAIServer } from "../../support/openai-server.ts"
import { pair } from "../../support/scene-pairs.ts"
import { betterWins, contractAt } from "../guide/guided.ts"

const options = { model: "a-vision-model", price: { input: 1, output: 5 } } as const
const judgeAt = (url: string, more: Partial<JudgeOpenAI.JudgeOpenAIOptions> = {}) =>
  JudgeOpenAI.layer({ ...options, baseUrl: new URL(url), ...more }).pipe(Layer.provide(Answers.layerMemory))

const withServer = <A, E>(o: OpenAIServerOptions, use: (server: OpenAIServer) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(Effect.promise(() => startOpenAIServer(o)), use, (server) => Effect.promise(() => server.close()))

/** The verdict on pair n, good drawing first; asked again, without the pipeline's waits, where the judge is busy. */
const ask = (n = 0, again = 200) =>
  Effect.gen(function*() {
    const { compare } = yield* Judge
    const { bad, good, prompt } = pair(n)
    return yield* Effect.retry(compare(prompt, good, bad), {
      while: (error: JudgeError) => error._tag === "JudgeBusy",
      times: again,
      schedule: Schedule.spaced("20 millis")
    })
  })

contractAt("openai", () => startOpenAIServer(), (url) => judgeAt(url))

it.live("prefers the drawing that is right, and says what it cost", () =>
  withServer({}, (server) =>
    betterWins(8, ({ by, costUsd }) => {
      assert.strictEqual(by, "openai")
      assert.closeTo(costUsd!, 2 * (1200 + 5 * 180) / 1e6, 1e-12)
    }).pipe(Effect.provide(judgeAt(server.url)))))

it.live("sends pixels and the prompt, the form of the answer, the key where there is one, and no header more", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      yield* ask(3).pipe(Effect.provide(judgeAt(server.url, { apiKey: Redacted.make("sk-test") })))
      yield* ask(3).pipe(Effect.provide(judgeAt(server.url)))
      const [first] = server.seen
      const last = server.seen.at(-1)!
      assert.strictEqual(first!.headers["authorization"], "Bearer sk-test")
      assert.isUndefined(last.headers["authorization"])
      assert.deepStrictEqual(Object.keys(last.headers).filter((name) => /openai|stainless|custom|cookie/.test(name)), [])
      const { max_tokens, messages, model, response_format, seed, temperature } = last.body
      assert.deepStrictEqual([model, max_tokens, seed, temperature], ["a-vision-model", 700, 0, 0])
      const form = (response_format as { json_schema: { strict: boolean; schema: { required: Array<string> } } }).json_schema
      assert.isTrue(form.strict)
      assert.include(form.schema.required, "better")
      assert.include(JSON.stringify(messages), pair(3).prompt.text)
      assert.notInclude(JSON.stringify(last.body), "<svg")
    })))

it.live("loses no judgment and believes no fault at 30 % faults of every kind", () =>
  withServer({ faults: 0.3 }, (server) =>
    Effect.gen(function*() {
      const verdicts = yield* Effect.forEach(Array.from({ length: 30 }, (_, n) => n), (n) => ask(n), { concurrency: 6 })
      for (const { outcome } of verdicts) assert.strictEqual(outcome, "A")
      assert.isAtLeast(Object.keys(server.faults()).length, faultKinds.length / 2)
    }).pipe(Effect.provide(judgeAt(server.url, { deadline: 1.5, unusableAnswers: 50 })))), 180_000)

describe("unusable answers", () => {
  const cases = [
    ["refusal", /refused to judge this, 2 times/, 8],
    ["content_filter", /refused to judge this, 2 times/, 0],
    ["length", /cut off at 700 tokens/, 700],
    ["wrong-answer", /not in the form that was asked for/, 180]
  ] as const
  for (const [kind, said, tokens] of cases) {
    it.live(`${kind} is asked again, given up in the end, and paid`, () =>
      withServer({ faults: 1, kinds: [kind] }, (server) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(ask())
          assert.strictEqual(error._tag, "JudgeRefused")
          assert.match(error.message, said)
          assert.closeTo((error as { costUsd?: number }).costUsd!, server.requests() * (1200 + 5 * tokens) / 1e6, 1e-9)
        }).pipe(Effect.provide(judgeAt(server.url, { unusableAnswers: 2 })))))
  }
})

it.live("where a server does not say what it used, the worst counts", () =>
  withServer({ noUsage: true }, (server) =>
    Effect.gen(function*() {
      const { costUsd } = yield* ask()
      assert.isAbove(costUsd!, 2 * (2 * 8500 + 5 * 700) / 1e6)
      const spent = yield* Effect.flip(ask(1))
      assert.strictEqual(spent._tag, "JudgeStopped")
      assert.include(spent.message, "--budget-usd")
    }).pipe(Effect.provide(judgeAt(server.url, { budgetUsd: 0.06 })))))

/** What 16 pairs come to on this server, asked about at the same time until the budget ends it. */
const spendAll = (o: OpenAIServerOptions, budgetUsd: number) =>
  withServer({ latency: 5, ...o }, (server) =>
    Effect.gen(function*() {
      const results = yield* Effect.forEach(Array.from({ length: 16 }, (_, n) => n), (n) => Effect.result(ask(n)), { concurrency: 16 })
      const stopped = results.flatMap((result) => (result._tag === "Failure" ? [result.failure] : []))
      assert.isAbove(stopped.length, 0)
      for (const error of stopped) assert.include(error.message, "--budget-usd")
      return { answered: results.length - stopped.length, usd: server.usd() }
    }).pipe(Effect.provide(judgeAt(server.url, { budgetUsd }))))

it.live("spends no more than the budget where the server counts 20 tokens for one", () =>
  Effect.gen(function*() {
    const { answered, usd } = yield* spendAll({ counts: 20 }, 0.5)
    assert.isAtMost(usd, 0.5)
    assert.isAbove(answered, 1)
  }))

it.live("spends no more than the budget where the server refuses every limit on an answer", () =>
  Effect.gen(function*() {
    const { answered, usd } = yield* spendAll({ refuses: ["max_tokens", "max_completion_tokens"], unlimited: 20_000 }, 1.5)
    assert.isAtMost(usd, 1.5)
    assert.isAbove(answered, 1)
  }), 180_000)

describe("servers that know less", () => {
  for (const format of ["json_object", "plain"] as const) {
    it.live(`${format}: the form is in the words, and found among others in the answer`, () =>
      withServer({
        refuses: format === "plain" ? ["response_format"] : [],
        around: ["<think>{\"better\": ...}</think>Sure!\n```json\n", "\n```"]
      }, (server) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* ask()).outcome, "A")
          const { messages, response_format } = server.seen[0]!.body
          assert.include(messages[0]!.content, `"semantic_match"`)
          assert.deepStrictEqual(response_format, format === "plain" ? undefined : { type: "json_object" })
        }).pipe(Effect.provide(judgeAt(server.url, { format })))))
  }

  it.live("without structured output the run is stopped, with the way out", () =>
    withServer({ refuses: ["response_format"] }, (server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ask())
        assert.strictEqual(error._tag, "JudgeStopped")
        assert.match(error.message, /holds no answer to a form \(response_format not supported\): try --judge-format json_object or plain/)
      }).pipe(Effect.provide(judgeAt(server.url)))))

  it.live("a setting that is refused is left out from then on", () =>
    withServer({ refuses: ["temperature", "seed", "max_tokens"] }, (server) =>
      Effect.gen(function*() {
        const verdicts = yield* Effect.forEach([0, 1, 2, 3], (n) => ask(n, 20), { concurrency: 4 })
        for (const { outcome } of verdicts) assert.strictEqual(outcome, "A")
        const { body } = server.seen.at(-1)!
        assert.isUndefined(body["temperature"] ?? body["seed"] ?? body["max_tokens"])
        assert.strictEqual(body["max_completion_tokens"], 700)
        const before = server.requests()
        yield* ask(5, 0)
        assert.strictEqual(server.requests(), before + 2)
      }).pipe(Effect.provide(judgeAt(server.url)))))
})

describe("what ends a run", () => {
  const quota = { error: { message: "You exceeded your quota", code: "insufficient_quota" } }
  const cases = [
    [401, { error: { message: "no" } }, /does not accept the key \(no\): check OPENAI_API_KEY/],
    [403, { detail: "not you" }, /no permission .*\(not you\)/],
    [404, { object: "error", message: "no such model" }, /knows no model "a-vision-model" \(no such model\)/],
    [429, quota, /no credit left .*\(You exceeded your quota\)/]
  ] as const
  for (const [status, body, message] of cases) {
    it.live(String(status), () =>
      withServer({ always: { status, body } }, (server) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(ask())
          assert.strictEqual(error._tag, "JudgeStopped")
          assert.match(error.message, message)
        }).pipe(Effect.provide(judgeAt(server.url)))))
  }

  it.live("a key that the server repeats is in no message", () =>
    withServer({ key: "another" }, (server) =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(ask())
        assert.match(message, /Incorrect API key provided: …/)
        assert.notInclude(message, "sk-secret")
      }).pipe(Effect.provide(judgeAt(server.url, { apiKey: Redacted.make("sk-secret") })))))

  it.live("a request that can never succeed costs its own pair only", () =>
    withServer({ always: { status: 400, body: "picture too large" } }, (server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ask())
        assert.strictEqual(error._tag, "JudgeRefused")
        assert.match(error.message, /400: picture too large/)
      }).pipe(Effect.provide(judgeAt(server.url)))))
})

it.live("waits as long as the server asks, and believes its limits", () =>
  withServer({ always: { status: 429, body: "slow", headers: { "retry-after": "7" } } }, (server) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ask(0, 0))
      assert.strictEqual(error._tag, "JudgeBusy")
      assert.deepStrictEqual((error as { retryAfter?: Duration.Duration }).retryAfter, Duration.seconds(7))
    }).pipe(Effect.provide(judgeAt(server.url)))))

it.live("takes the key to no other address", () =>
  withServer({}, (elsewhere) =>
    Effect.gen(function*() {
      const server = yield* Effect.acquireRelease(
        Effect.callback<http.Server>((resume) => {
          const server = http.createServer((_, response) =>
            response.writeHead(307, { location: `${elsewhere.url}/chat/completions` }).end())
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => (server.close(), server.closeAllConnections()))
      )
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
      const error = yield* Effect.flip(ask(0, 0)).pipe(Effect.provide(judgeAt(url, { apiKey: Redacted.make("sk-test") })))
      assert.strictEqual(error._tag, "JudgeBusy")
      assert.strictEqual(elsewhere.requests(), 0)
    }).pipe(Effect.scoped)))

it.live("ends within a second when it is interrupted", () =>
  withServer({ latency: 60_000 }, (server) =>
    Effect.gen(function*() {
      const [elapsed, answer] = yield* Effect.timed(Effect.timeoutOption(ask(), 200))
      assert.isTrue(Option.isNone(answer))
      assert.isBelow(Duration.toMillis(elapsed), 1000)
    }).pipe(Effect.provide(judgeAt(server.url)))), 5000)

it.live("one model's name at two servers is two judges, and neither reads the other's answers", () =>
  withServer({}, (one) =>
    withServer({}, (other) =>
      Effect.gen(function*() {
        const answers = yield* Layer.build(Answers.layerMemory)
        const identityAt = (url: string) =>
          Effect.gen(function*() {
            yield* ask()
            return (yield* Judge).identity
          }).pipe(Effect.provide(JudgeOpenAI.layer({ ...options, baseUrl: new URL(url) })), Effect.provide(answers))
        assert.notStrictEqual(yield* identityAt(one.url), yield* identityAt(other.url))
        yield* identityAt(one.url)
        assert.deepStrictEqual([one.requests(), other.requests()], [2, 2])
      }).pipe(Effect.scoped))))
