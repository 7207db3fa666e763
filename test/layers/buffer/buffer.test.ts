import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as BufferMemory from "../../../layers/buffer/memory.ts"
import * as BufferSqlite from "../../../layers/buffer/sqlite.ts"
import type { RunDatabaseOptions } from "../../../layers/store/run-database.ts"
import type { StalenessOptions } from "../../../src/lessons/staleness.ts"
import { PreferenceBuffer } from "../../../src/stages/PreferenceBuffer.ts"
import { rollout } from "../../stages/make.ts"
import { bufferContract } from "../../stages/PreferenceBuffer.contract.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-"))),
  (made) => Effect.sync(() => fs.rmSync(made, { recursive: true }))
)
const file = Effect.map(folder, (made) => path.join(made, "run.db"))
const options = { maxStaleness: 1, staleWeight: 1 }

bufferContract("memory", BufferMemory.layer)
bufferContract("sqlite", (options) =>
  Layer.unwrap(Effect.map(file, (path) => BufferSqlite.layer({ ...options, path }))))

describe("buffer-sqlite", () => {
  const using = <A, E>(
    settings: StalenessOptions & RunDatabaseOptions,
    work: (buffer: PreferenceBuffer["Service"]) => Effect.Effect<A, E>
  ) => PreferenceBuffer.use(work).pipe(Effect.provide(BufferSqlite.layer(settings)))

  it.live("keeps what was put over a restart, every bit", () =>
    Effect.gen(function*() {
      const settings = { ...options, path: yield* file }
      yield* using(settings, (buffer) => buffer.put(rollout(0)))
      const taken = yield* using(settings, (buffer) => buffer.take(0))
      assert.deepStrictEqual(taken.lessons, rollout(0).lessons)
      assert.strictEqual((yield* using(settings, (buffer) => buffer.take(0))).lessons.length, 0)
    }))

  it.live("has every fact in its tables", () =>
    Effect.gen(function*() {
      const settings = { ...options, path: yield* file }
      yield* using(settings, (buffer) => Effect.andThen(buffer.put(rollout(0)), buffer.take(0)))
      const db = new DatabaseSync(settings.path)
      const count = (table: string) => db.prepare(`SELECT count(*) AS n FROM ${table}`).get()!["n"]
      assert.deepStrictEqual(["rollouts", "candidates", "verdicts", "preferences", "costs"].map(count), [1, 3, 3, 2, 2])
      assert.strictEqual(db.prepare("SELECT sum(usd) AS usd FROM costs").get()!["usd"], 0.001)
      assert.deepStrictEqual(
        { ...db.prepare("SELECT rendering, reason, detail FROM candidates WHERE idx = 1").get() },
        { rendering: "Killed", reason: "deadline", detail: "2 s" }
      )
      assert.deepStrictEqual({ ...db.prepare("SELECT DISTINCT consumed_by_step AS s FROM preferences").get() }, { s: 0 })
      db.close()
    }))

  it.live("continues a run that an earlier version began", () =>
    Effect.gen(function*() {
      const settings = { maxStaleness: 2, staleWeight: 0.5, path: yield* file }
      const db = new DatabaseSync(settings.path)
      // Rollouts 0, trained by step 0, and 1, not trained yet, as schema 2 stored them.
      db.exec(fs.readFileSync(path.join(import.meta.dirname, "../../golden/run-schema-2.sql"), "utf8"))
      db.close()
      const taken = yield* using(settings, (buffer) => buffer.take(1))
      assert.deepStrictEqual(taken, { lessons: rollout(1).lessons, stale: 0 })
      const now = new DatabaseSync(settings.path)
      assert.deepStrictEqual(
        now.prepare("SELECT step, chosen, rejected, label, weight, consumed_by_step AS by FROM preferences ORDER BY id").all().map((row) => ({ ...row })),
        [0, 1].flatMap((step) => [
          { step, chosen: 0, rejected: 1, label: 1, weight: 1, by: step },
          { step, chosen: 2, rejected: 1, label: 0.75, weight: 0.5, by: step }
        ])
      )
      now.close()
    }))

  it.live("opens nothing before it is used", () =>
    Effect.gen(function*() {
      const path = yield* file
      yield* using({ ...options, path }, () => Effect.void)
      assert.isFalse(fs.existsSync(path))
    }))

  const refusal = (path: string) =>
    using({ ...options, path, timeout: 20 }, (buffer) => buffer.put(rollout(0))).pipe(
      Effect.flip,
      Effect.map((error) => {
        assert.strictEqual(error._tag, "BufferFailed")
        return error.message
      })
    )

  it.live("says what is wrong with a file it cannot use", () =>
    Effect.gen(function*() {
      const made = yield* folder
      const at = (name: string) => path.join(made, name)
      fs.writeFileSync(at("text.db"), "this is no database, but it is long enough to be looked at. ".repeat(20))
      assert.include(yield* refusal(at("text.db")), "is not an SQLite database")
      assert.include(yield* refusal(at("missing/run.db")), "cannot be opened")

      const newer = new DatabaseSync(at("newer.db"))
      newer.exec("CREATE TABLE meta (key TEXT, value TEXT); INSERT INTO meta VALUES ('schema_version', '99')")
      newer.close()
      assert.include(yield* refusal(at("newer.db")), "newer vequinox (schema 99, this one knows 5)")

      const locked = new DatabaseSync(at("locked.db"))
      locked.exec("PRAGMA journal_mode = WAL; BEGIN EXCLUSIVE")
      assert.include(yield* refusal(at("locked.db")), "is locked by another program")
      locked.close()
    }))
})
