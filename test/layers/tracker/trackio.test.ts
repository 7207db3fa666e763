import * as http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as trackio from "../../../layers/tracker/trackio.ts"
import { Tracker } from "../../../src/stages/Tracker.ts"
import { trackedStep } from "../../stages/Tracker.contract.ts"
import { listening } from "../../support/loopback.ts"
import { trackioServer } from "../../support/tracker-servers.ts"

const token = "write-token-0123456789"

/** Tells these steps and ends; says what a person was told, and what was dropped. */
const tell = (url: string, steps: ReadonlyArray<number>, { its = token, pause = 0 } = {}) =>
  Effect.gen(function*() {
    const notes: Array<string> = []
    const note = (line: string) => Effect.sync(() => void notes.push(line))
    return yield* Effect.gen(function*() {
      const tracker = yield* Tracker
      for (const step of steps) yield* tracker.step(trackedStep(step))
      yield* Effect.sleep(pause)
      yield* tracker.end
      return { notes, dropped: yield* tracker.dropped }
    }).pipe(Effect.provide(trackio.layer({ url, project: "icons", run: "first", id: "r1", config: { seed: 3 }, token: Redacted.make(its), note })))
  })

describe("trackio", () => {
  it.live("sends the form that Trackio takes, the settings once", () =>
    Effect.gen(function*() {
      const { close, logs, url } = yield* Effect.promise(() => trackioServer(token))
      yield* tell(`${url}/`, [0, 1])
      assert.deepStrictEqual([...logs.values()], [
        { project: "icons", run: "first", run_id: "r1", metrics: { policyVersion: 0, loss: 0.5, "rewards/margins": -0.25 }, step: 0, log_id: "r1-step-0", config: { seed: 3 } },
        { project: "icons", run: "first", run_id: "r1", metrics: { policyVersion: 1, loss: 0.25, "rewards/margins": 0.75 }, step: 1, log_id: "r1-step-1" }
      ])
      yield* Effect.promise(close)
    }))

  it.live("tries again after the server was away, and loses nothing", () =>
    Effect.gen(function*() {
      const { close, logs, requests, url } = yield* Effect.promise(() => trackioServer(token, { failing: 1 }))
      const { dropped, notes } = yield* tell(url, [0, 1, 2], { pause: 1500 })
      assert.deepStrictEqual(dropped, {})
      assert.deepStrictEqual(notes, ["trackio takes nothing at the moment (its server answered 503): the run goes on without it."])
      assert.strictEqual(logs.size, 3)
      assert.strictEqual(requests(), 2)
      yield* Effect.promise(close)
    }))

  it.live("drops what does not fit, not what came first", () =>
    Effect.gen(function*() {
      const { close, logs, url } = yield* Effect.promise(() => trackioServer(token, { failing: 1 }))
      const { dropped } = yield* tell(url, Array.from({ length: 3000 }, (_, n) => n), { pause: 1500 })
      assert.strictEqual(dropped["trackio"], 3000 - logs.size)
      assert.isAtLeast(logs.size, 1024)
      assert.isAtMost(logs.size, 1024 + 64)
      assert.deepStrictEqual([...logs.values()].slice(0, 1024).map(({ step }) => step), Array.from({ length: 1024 }, (_, n) => n))
      yield* Effect.promise(close)
    }))

  it.live("shows no token, even where the server echoes it", () =>
    Effect.gen(function*() {
      const { close, url } = yield* Effect.promise(() => trackioServer(token))
      const { dropped, notes } = yield* tell(url, [0], { its: "another-token-9876543210" })
      assert.deepStrictEqual(dropped, { trackio: 1 })
      assert.include(notes.join("\n"), "answered 400")
      assert.notInclude(notes.join("\n"), "token")
      yield* Effect.promise(close)
    }))

  it.live("follows no redirection, which would hand the token on", () =>
    Effect.gen(function*() {
      const other = yield* Effect.promise(() => trackioServer(token))
      const first = yield* Effect.promise(() =>
        listening(http.createServer((_, response) => response.writeHead(307, { location: `${other.url}/api/bulk_log` }).end())))
      const { dropped } = yield* tell(first.url, [0])
      assert.deepStrictEqual(dropped, { trackio: 1 })
      assert.strictEqual(other.requests(), 0)
      yield* Effect.promise(first.close)
      yield* Effect.promise(other.close)
    }))
})
