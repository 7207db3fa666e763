/** When the Hub is asked again, and how its models are named. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { HubBusy } from "../../src/model/hub/errors.ts"
import { parseModelId } from "../../src/model/hub/model-id.ts"
import { withHubRetry } from "../../src/model/hub/retry.ts"
import { byteSize } from "../../src/system/progress.ts"

describe("asking again", () => {
  const attempts = (error: HubBusy, patient: boolean) =>
    Effect.gen(function*() {
      const times: Array<number> = []
      const notes: Array<string> = []
      const ask = Effect.gen(function*() {
        times.push(yield* Clock.currentTimeMillis)
        return yield* error
      })
      const fiber = yield* Effect.forkChild(Effect.flip(withHubRetry((line) => Effect.sync(() => void notes.push(line)), patient)(ask)))
      yield* TestClock.adjust(Duration.minutes(10))
      assert.strictEqual(yield* Fiber.join(fiber), error)
      return { notes, waits: times.slice(1).map((time, i) => time - times[i]!) }
    })
  const busy = (reached: boolean, retryAfter: number) => new HubBusy({ message: "it is busy", reached, retryAfter })

  it.effect("5 times, later and later, and never before the Hub allows", () =>
    Effect.gen(function*() {
      const { notes, waits } = yield* attempts(busy(true, 0), false)
      assert.strictEqual(waits.length, 5)
      waits.forEach((wait, i) => assert.approximately(wait, 500 * 2 ** i, 0.25 * 500 * 2 ** i))
      assert.match(notes[0]!, /^it is busy; again in 1s\.$/)
      const told = yield* attempts(busy(true, 60), false)
      assert.isAtLeast(Math.min(...told.waits), 60_000)
    }))

  it.effect("without a connection only where something was fetched", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* attempts(busy(false, 0), false)).waits.length, 0)
      assert.strictEqual((yield* attempts(busy(false, 0), true)).waits.length, 5)
    }))
})

it("tells a model's name on the Hub from other text", () => {
  assert.deepStrictEqual(parseModelId("Qwen/Qwen3-0.6B"), { id: "Qwen/Qwen3-0.6B", revision: undefined })
  assert.deepStrictEqual(parseModelId("a/b@refs/pr/1"), { id: "a/b", revision: "refs/pr/1" })
  for (const text of ["policy", "/a/b", "./a", "../a", "a/../b", "a/b/c", "a\\b/c", "a/b.git", "a--b/c", "a/b@", "a/b@..", "a/b@x..y", "a/b@/x", "a/b@x y", ""]) {
    assert.isUndefined(parseModelId(text), text)
  }
})

it("bytes in words", () => {
  assert.deepStrictEqual([0, 999, 1000, 1_503_300_328].map(byteSize), ["0 bytes", "999 bytes", "1.0 kB", "1.5 GB"])
})
