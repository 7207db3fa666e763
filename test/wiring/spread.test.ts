/** What cannot be spread is refused in one sentence, before there is a folder. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { beginSpread } from "../../src/wiring/spread/begin.ts"
import { joinRun } from "../../src/wiring/spread/join.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("begin-spread")
const out = path.join(work, "run")

const refusal = (given: Readonly<Record<string, unknown>>, env: Readonly<Record<string, string>> = {}) =>
  Effect.flip(beginSpread({ given: { output_dir: out, ...given }, layers: {}, style: "none" })).pipe(
    Effect.map(({ message }) => message),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))
  )
const joined = (folder: string) =>
  Effect.map(
    Effect.flip(Effect.scoped(joinRun({
      folder, address: { host: "127.0.0.1", port: 0 }, style: "none", say: () => Effect.void, onStep: () => Effect.void, onSummary: () => Effect.void
    }))),
    ({ message }) => message
  )

describe("a run that cannot be spread", () => {
  const store = "postgres"
  it.live("does not begin", () =>
    Effect.gen(function*() {
      assert.match(yield* refusal({}), /^Runners share a run through a database: begin one with --store postgres/)
      assert.match(yield* refusal({ store, judge: "human" }), /^People judge at one process/)
      assert.match(yield* refusal({ store, optimizer: "tinker" }), /^Runners draw and train by themselves: leave --optimizer tinker out/)
      assert.match(yield* refusal({ store, judge: "claude", judge_batch: true }), /^A batch belongs to the process that sent it/)
      assert.match(yield* refusal({ store, draft_tokens: 4 }), /^Runners draw without the run's earlier drawings: leave --draft-tokens out/)
      assert.match(yield* refusal({ store }), /^Postgres needs an address: set DATABASE_URL/)
      const away = yield* refusal({ store }, { DATABASE_URL: "postgres://user:a-secret@127.0.0.1:9/none" })
      assert.match(away, /^The database 127\.0\.0\.1:9\/none does not answer/)
      assert.notInclude(away, "a-secret")
      assert.isFalse(fs.existsSync(out))
    }), 60_000)

  it.live("is not joined", () =>
    Effect.gen(function*() {
      assert.match(yield* joined(work), /holds no run that has begun/)
      const alone = path.join(work, "alone")
      fs.mkdirSync(alone)
      fs.writeFileSync(path.join(alone, "config.json"), JSON.stringify({ working_dir: work, max_steps: 3 }))
      assert.match(yield* joined(alone), /^Runners share a run through a database/)
      assert.deepStrictEqual(fs.readdirSync(alone), ["config.json"])
    }))
})
