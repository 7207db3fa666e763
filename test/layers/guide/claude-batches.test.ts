/** Claude in batches, against a server on a real socket that counts what it charges. */
import { spawn } from "node:child_process"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Redacted } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import * as JudgeClaude from "../../../layers/judge/claude.ts"
import type { JudgeError } from "../../../src/stages/Judge.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { requestFaults } from "../../support/claude-batches.ts"
import { type ClaudeServer, type ClaudeServerOptions, startClaudeServer } from "../../support/claude-server.ts"
import { pair } from "../../support/scene-pairs.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"

const work = scratchFolder("batches")
let files = 0
const newFile = () => path.join(work, `${files++}.db`)

const judgeAt = (url: string, more: Partial<JudgeClaude.JudgeClaudeOptions> = {}, answers = Answers.layerMemory) =>
  JudgeClaude.layer({
    model: "claude-haiku-4-5",
    price: { input: 0.5, output: 2.5 },
    apiKey: Redacted.make("sk-test"),
    baseUrl: url,
    batch: true,
    quiet: 0.05,
    waits: [0.01, 0.1],
    settled: 0.05,
    ...more
  }).pipe(Layer.provide(answers))

const withServer = <A, E>(o: ClaudeServerOptions, use: (server: ClaudeServer) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(Effect.promise(() => startClaudeServer(o)), use, (server) => Effect.promise(() => server.close()))

/** The pipeline's own retries, without their long waits. */
const quickly = <A>(call: Effect.Effect<A, JudgeError>) =>
  Effect.retry(call, { while: (error) => error._tag === "JudgeBusy", times: 200 })

const pairs = Array.from({ length: 15 }, (_, n) => pair(n))
const judgeAll = (count = pairs.length) =>
  Effect.gen(function*() {
    const { compare } = yield* Judge
    return yield* Effect.forEach(
      pairs.slice(0, count),
      ({ bad, good, prompt }, n) => quickly(n % 2 === 0 ? compare(prompt, good, bad) : compare(prompt, bad, good)),
      { concurrency: "unbounded" }
    )
  })
const allRight = (verdicts: ReadonlyArray<{ readonly outcome: string }>) =>
  verdicts.forEach(({ outcome }, n) => assert.strictEqual(outcome, n % 2 === 0 ? "A" : "B", `pair ${n}`))
const nonePaidTwice = ({ batches }: ClaudeServer, questions: number) => {
  const { times } = batches.charged()
  assert.strictEqual(times.size, questions)
  for (const [id, n] of times) assert.strictEqual(n, 1, id)
}

it.live("all questions go in one batch, each is charged half and once, and says so", () =>
  withServer({ batches: { delay: 100 } }, (server) =>
    Effect.gen(function*() {
      const verdicts = yield* judgeAll()
      allRight(verdicts)
      assert.strictEqual(server.batches.batches.length, 1)
      assert.strictEqual(server.requests(), 0) // no single one
      nonePaidTwice(server, 30)
      const told = verdicts.reduce((sum, { costUsd }) => sum + costUsd!, 0)
      assert.closeTo(told, 30 * (1200 + 5 * 180) / 2 / 1e6, 1e-9)
      assert.closeTo(told, server.batches.charged().usd, 1e-9)
    }).pipe(Effect.provide(judgeAt(server.url)))))

it.live("spends no more than the budget where the server counts 10 tokens for one", () =>
  withServer({ batches: { counts: 10 } }, (server) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(judgeAll())
      assert.strictEqual(error._tag, "JudgeStopped")
      assert.include(error.message, "--budget-usd")
      yield* Effect.exit(judgeAll()) // what was sent is read
      assert.isAbove(server.batches.charged().usd, 0.05)
      assert.isAtMost(server.batches.charged().usd, 0.1)
    }).pipe(Effect.provide(judgeAt(server.url, { budgetUsd: 0.1 })))))

it.live("what is too much for one batch goes in several", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      allRight(yield* judgeAll())
      assert.deepStrictEqual(server.batches.batches.map(({ size }) => size), [12, 12, 6])
    }).pipe(Effect.provide(judgeAt(server.url, { batchRequests: 12 })))))

it.live("a question asked twice at once is asked once", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      yield* Effect.all([judgeAll(5), judgeAll(5)], { concurrency: 2 })
      nonePaidTwice(server, 10)
    }).pipe(Effect.provide(judgeAt(server.url)))))

for (const faults of [0.2, 0.5]) {
  it.live(`${100 * faults} % of calls fail in every way: nothing is lost, and nothing is paid twice`, () =>
    withServer({ batches: { delay: 30, faults, seed: 3 } }, (server) =>
      Effect.gen(function*() {
        allRight(yield* judgeAll())
        nonePaidTwice(server, 30)
        assert.isAtLeast(Object.keys(server.batches.faults()).length, faults > 0.3 ? 8 : 4)
      }).pipe(Effect.provide(judgeAt(server.url, { batchRequests: 4 })))), 180_000)
}

it.live("a making whose answer is lost is found, and one that was not made is made again", () =>
  withServer({ batches: { creates: ["made-reset", "unmade-reset", "made-html", "529", "ok"] } }, (server) =>
    Effect.gen(function*() {
      allRight(yield* judgeAll(12))
      nonePaidTwice(server, 24)
      assert.strictEqual(server.batches.batches.length, 3)
      assert.isAtLeast(Object.keys(server.batches.faults()).length, 4)
    }).pipe(Effect.provide(judgeAt(server.url, { batchRequests: 8 })))))

it.live("requests that fail inside their batch are asked again; only what gave no answer is", () =>
  withServer({ batches: { requestFaults: 0.5, seed: 1 } }, (server) =>
    Effect.gen(function*() {
      allRight(yield* judgeAll())
      const kinds = Object.keys(server.batches.faults())
      for (const fault of requestFaults) assert.include(kinds, `request ${fault}`)
    }).pipe(Effect.provide(judgeAt(server.url, { unusableAnswers: 50 })))), 180_000)

it.live("a budget that holds a few questions at a time lets them go in turn, is not exceeded, and then stops", () =>
  withServer({ batches: { requestFaults: 0.3 } }, (server) =>
    Effect.gen(function*() {
      const { compare } = yield* Judge
      const results = yield* Effect.forEach(pairs, ({ bad, good, prompt }) => Effect.result(quickly(compare(prompt, good, bad))), {
        concurrency: "unbounded"
      })
      const stopped = results.flatMap((result) => (result._tag === "Failure" ? [result.failure] : []))
      assert.isAbove(stopped.length, 0)
      for (const error of stopped) assert.include(error.message, "--budget-usd")
      assert.isAbove(results.length - stopped.length, 2)
      assert.isAbove(server.batches.batches.length, 2)
      assert.isAtMost(server.batches.charged().usd, 0.03)
    }).pipe(Effect.provide(judgeAt(server.url, { budgetUsd: 0.03, unusableAnswers: 50 })))))

describe("what ends a run", () => {
  const ends = (o: ClaudeServerOptions, expected: RegExp, more: Partial<JudgeClaude.JudgeClaudeOptions> = {}) =>
    withServer(o, (server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(judgeAll(2))
        assert.strictEqual(error._tag, "JudgeStopped")
        assert.match(error.message, expected)
      }).pipe(Effect.provide(judgeAt(server.url, more))))
  it.live("a wrong key", () => ends({ always: { status: 401, message: "no" } }, /does not accept the key \(no\)/))
  it.live("no credit", () => ends({ always: { status: 402, message: "no" } }, /no credit left/))
  it.live("an address without batches", () => ends({ always: { status: 404, message: "no" } }, /takes no batches .*ANTHROPIC_BASE_URL/))
  it.live("a model that does not exist, which the results say", () =>
    ends({ batches: { error: "not_found_error" } }, /knows no model "claude-haiku-4-5"/))
  it.live("a server that stays away", () =>
    ends({ always: { status: 500, message: "no" } }, /No answer came for .*reads their answers when the service is back/, { patience: 0.1 }))

  it.live("a malformed request costs its own pair only, and is not asked again", () =>
    withServer({ batches: { error: "invalid_request_error" } }, (server) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(judgeAll(1))
        assert.strictEqual(error._tag, "JudgeRefused")
        assert.strictEqual(server.batches.batches.length, 1)
      }).pipe(Effect.provide(judgeAt(server.url)))))
})

it.live("interrupted, it ends at once; the next process reads the batch that went on", () =>
  withServer({ batches: { delay: Infinity } }, (server) => {
    const answers = Answers.layer(newFile())
    return Effect.gen(function*() {
      const asking = yield* Effect.forkChild(judgeAll().pipe(Effect.provide(judgeAt(server.url, {}, answers))))
      while (server.batches.batches.length === 0) yield* Effect.sleep(10)
      const [took] = yield* Effect.timed(Fiber.interrupt(asking))
      assert.isBelow(Duration.toMillis(took), 1000)
      server.batches.release()
      allRight(yield* judgeAll().pipe(Effect.provide(judgeAt(server.url, {}, answers))))
      assert.strictEqual(server.batches.batches.length, 1)
      nonePaidTwice(server, 30)
    })
  }))

/** @returns what it printed, or undefined when it was killed first */
const child = (url: string, file: string, killWhen: () => boolean) =>
  Effect.promise(() =>
    new Promise<string | undefined>((resolve, reject) => {
      const process_ = spawn(process.execPath, [path.join(import.meta.dirname, "./batch-child.ts"), url, file, "5"], { env: {} })
      let out = ""
      let errors = ""
      process_.stdout.on("data", (text) => (out += text))
      process_.stderr.on("data", (text) => (errors += text))
      const watch = setInterval(() => killWhen() && process_.kill("SIGKILL"), 1)
      process_.on("exit", (code, signal) => {
        clearInterval(watch)
        if (signal === "SIGKILL") resolve(undefined)
        else if (code === 0) resolve(out)
        else reject(new Error(errors))
      })
    })
  )

describe.concurrent("killed, and started again, it pays for nothing twice", () => {
  const made = ({ batches }: ClaudeServer) => batches.batches.length > 0
  const cases: ReadonlyArray<readonly [string, ClaudeServerOptions, (server: ClaudeServer) => boolean]> = [
    ["once the batch is made", { batches: { delay: Infinity } }, made],
    ["once the batch is made and its name was never told", { batches: { delay: Infinity, creates: ["made-reset"] } }, made],
    ["while it reads the results", { batches: { stalls: 1 } }, ({ batches }) => batches.stalled() > 0]
  ]
  for (const [when, options, killWhen] of cases) {
    it.live(when, () =>
      withServer(options, (server) =>
        Effect.gen(function*() {
          const file = newFile()
          assert.isUndefined(yield* child(server.url, file, () => killWhen(server)))
          server.batches.release()
          const second = yield* child(server.url, file, () => false)
          assert.deepStrictEqual(JSON.parse(second!), Array.from({ length: 5 }, () => "A"))
          assert.strictEqual(server.batches.batches.length, 1)
          nonePaidTwice(server, 10)
        })), 180_000)
  }
})
