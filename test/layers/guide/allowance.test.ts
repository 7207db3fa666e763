/** The allowance against a simulated server with continuously refilled buckets, on a test clock. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { type Ended, makeAllowance, type RateHeaders } from "../../../layers/guide/allowance.ts"

interface Limits {
  readonly requests: number
  readonly inputTokens: number
  readonly outputTokens: number
}
const kinds = ["requests", "inputTokens", "outputTokens"] as const

const call = { requests: 1, inputTokens: 1200, outputTokens: 700 }
const answered = 180

/** 2 s latency; a request needs its own place in every bucket; what max_tokens reserved and the answer left goes back. */
const simulatedServer = (limits: Limits) => {
  const level = { ...limits }
  let at: number | undefined
  const fill = (now: number) => {
    for (const kind of kinds) {
      level[kind] = Math.min(limits[kind], level[kind] + (now - (at ?? now)) / 60_000 * limits[kind])
    }
    at = now
  }
  const headers = (): RateHeaders =>
    Object.fromEntries(kinds.map((kind) => [kind, { limit: limits[kind], remaining: Math.floor(level[kind]) }]))
  let refused = 0
  let served = 0
  const send = Effect.gen(function*() {
    fill(yield* Clock.currentTimeMillis)
    if (kinds.some((kind) => level[kind] < call[kind])) {
      refused++
      const wait = Math.max(...kinds.map((kind) => (call[kind] - level[kind]) / limits[kind] * 60))
      return yield* Effect.fail<Ended>({ _tag: "Slow", seconds: wait, headers: headers() })
    }
    for (const kind of kinds) level[kind] -= call[kind]
    yield* Effect.sleep("2 seconds")
    fill(yield* Clock.currentTimeMillis)
    level.outputTokens = Math.min(limits.outputTokens, level.outputTokens + call.outputTokens - answered)
    served++
    return headers()
  })
  return { send, served: () => served, refused: () => refused }
}

/** 256 callers that never rest, for three minutes. */
const threeMinutes = (limits: Limits) =>
  Effect.gen(function*() {
    const server = simulatedServer(limits)
    const allowance = yield* makeAllowance({ concurrency: 256 })
    const estimate = { inputTokens: call.inputTokens, outputTokens: call.outputTokens }
    const one = allowance.use(estimate, server.send, (result) =>
      "failed" in result
        ? result.failed
        : { _tag: "Answered", use: { inputTokens: call.inputTokens, outputTokens: answered }, headers: result.ok })
    const callers = yield* Effect.forkChild(
      Effect.forEach(
        Array.from({ length: 256 }),
        () => Effect.whileLoop({ while: () => true, body: () => Effect.ignore(one), step: () => {} }),
        { concurrency: "unbounded" }
      )
    )
    for (let second = 0; second < 180 * 4; second++) yield* TestClock.adjust("250 millis")
    yield* Fiber.interrupt(callers)
    return server
  })

describe("uses what the account allows, and draws no refusal", () => {
  const cases: ReadonlyArray<readonly [string, Limits]> = [
    ["requests bind", { requests: 50, inputTokens: 1e6, outputTokens: 1e6 }],
    ["many requests", { requests: 1000, inputTokens: 1e8, outputTokens: 1e8 }],
    ["input tokens bind", { requests: 1000, inputTokens: 100_000, outputTokens: 1e6 }],
    ["output tokens bind", { requests: 1000, inputTokens: 1e7, outputTokens: 20_000 }]
  ]
  for (const [name, limits] of cases) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const server = yield* threeMinutes(limits)
        const taken = { requests: 1, inputTokens: call.inputTokens, outputTokens: answered }
        // A full bucket, and three minutes of refill.
        const allowed = Math.min(...kinds.map((kind) => 4 * limits[kind] / taken[kind]))
        assert.isAtLeast(server.served() / allowed, 0.95, `${server.served()} of ${allowed}, ${server.refused()} refused`)
        assert.isAtMost(server.refused(), 1)
      }))
  }
})

it.effect("waits as long as it was told, narrows where many are refused, and grows again", () =>
  Effect.gen(function*() {
    const allowance = yield* makeAllowance({ concurrency: 64 })
    const use = (ended: Ended) => allowance.use({ inputTokens: 1, outputTokens: 1 }, Effect.void, () => ended)
    const good: Ended = { _tag: "Answered", use: { inputTokens: 1, outputTokens: 1 }, headers: {} }
    for (let n = 0; n < 30; n++) yield* use(good)
    assert.strictEqual(yield* allowance.concurrency, 32)
    const refusal: Ended = { _tag: "Slow", seconds: 0, headers: {} }
    for (let n = 0; n < 8; n++) yield* use(refusal)
    assert.strictEqual(yield* allowance.concurrency, 32) // a quarter of the last calls: a server may refuse at random
    yield* use({ _tag: "Slow", seconds: 7, headers: {} })
    assert.strictEqual(yield* allowance.concurrency, 24)
    const next = yield* Effect.forkChild(use(good))
    yield* TestClock.adjust("6900 millis")
    assert.isUndefined(next.pollUnsafe())
    yield* TestClock.adjust("200 millis")
    assert.isDefined(next.pollUnsafe())
    for (let n = 0; n < 20; n++) yield* use(good)
    const grown = yield* allowance.concurrency
    assert.isTrue(grown > 24 && grown < 32, `${grown}`)
  }))
