/** A run.db of every older version opens as one that was made new: the same tables, the same rows. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { beforeAll } from "vitest"
import * as BufferSqlite from "../../../layers/buffer/sqlite.ts"
import * as archiveSqlite from "../../../layers/store/archive.ts"
import { blobOf } from "../../../layers/store/number-blobs.ts"
import { RunDatabase, schemaVersion } from "../../../layers/store/run-database.ts"
import { Archive } from "../../../src/studio/archive.ts"
import { PreferenceBuffer } from "../../../src/stages/PreferenceBuffer.ts"
import { asOlder, tablesIn } from "../../support/older-run.ts"
import { scratchFolder } from "../../support/scratch-folder.ts"
import { storedRun } from "../../support/stored-run.ts"
import { rollout } from "../../stages/make.ts"

const work = scratchFolder("run-database")
const run = path.join(work, "run")
const file = path.join(run, "run.db")
const versions = Array.from({ length: schemaVersion - 1 }, (_, n) => n + 1)

const put = (path: string, step: number) => PreferenceBuffer.use(({ put }) => put(rollout(step))).pipe(Effect.provide(BufferSqlite.layer({ path, maxStaleness: 100, staleWeight: 1 })))
const opened = (path: string) => RunDatabase.use(({ read }) => read(() => {})).pipe(Effect.provide(RunDatabase.layer({ path, timeout: 20 })))
const folderOf = (name: string): string => {
  const folder = path.join(work, name)
  fs.mkdirSync(folder)
  return folder
}
const older = (name: string, version: number): string => {
  const made = path.join(folderOf(name), "run.db")
  asOlder(file, made, version)
  return made
}
const sql = <A>(file: string, work: (db: DatabaseSync) => A): A => {
  const db = new DatabaseSync(file)
  try {
    return work(db)
  } finally {
    db.close()
  }
}

beforeAll(async () => {
  await Effect.runPromise(Effect.andThen(storedRun(run, 6), put(file, 6)))
})

describe("a run.db of version", () => {
  it.live.each(versions)("%s opens with the tables and rows of one made new", (version) =>
    Effect.gen(function*() {
      const made = older(`version-${version}`, version)
      const before = sql(made, (db) => ({ ...db.prepare("SELECT typeof(prompt_ids) AS a, typeof(completion_ids) AS b, typeof(logps) AS c FROM candidates").get() }))
      assert.deepStrictEqual(before, { a: "text", b: "text", c: "text" })
      yield* opened(made)
      const [now, whole] = [tablesIn(made), tablesIn(file)]
      assert.deepStrictEqual(now["sqlite_schema"], whole["sqlite_schema"])
      assert.isAbove(whole["candidates"]!.length, 90)
      const later = version > 1 ? [] : ["judgments", "calls", "killed", "reports", "checkpoints", "faults"] // which it did not keep
      for (const [table, rows] of Object.entries(whole)) assert.deepStrictEqual(now[table], later.includes(table) ? [] : rows, table)
      sql(made, (db) => {
        assert.deepStrictEqual({ ...db.prepare("SELECT DISTINCT typeof(prompt_ids) AS a, typeof(completion_ids) AS b, typeof(logps) AS c FROM candidates").get() }, { a: "blob", b: "blob", c: "blob" })
        assert.deepStrictEqual({ ...db.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" })
        assert.deepStrictEqual(db.prepare("PRAGMA foreign_key_check").all(), [])
        db.exec("PRAGMA foreign_keys = ON; DELETE FROM rollouts WHERE step < 6")
        assert.deepStrictEqual(db.prepare("SELECT DISTINCT step FROM candidates").all().map(({ step }) => step), [6])
        assert.throws(() => db.exec("UPDATE candidates SET logps = '[]'"), /cannot store TEXT value in BLOB column/)
      })
      // And it goes on.
      const taken = yield* PreferenceBuffer.use(({ take }) => take(6)).pipe(Effect.provide(BufferSqlite.layer({ path: made, maxStaleness: 100, staleWeight: 1 })))
      assert.deepStrictEqual(taken.lessons, rollout(6).lessons)
    }))

  it.live.each(versions)("%s is read as it is by who may not write it", (version) =>
    Effect.gen(function*() {
      const made = older(`read-${version}`, version)
      const bytes = fs.readFileSync(made)
      const read = (folder: string) => Archive.use(({ rollout, rollouts }) =>
        Effect.gen(function*() {
          const rows = yield* rollouts(folder, { limit: 1000 })
          // One drawing's page reads tables that versions 1 and 2 did not have.
          return { rows, one: version > 2 ? yield* rollout(folder, rows[0]!) : undefined }
        })).pipe(Effect.provide(archiveSqlite.layer))
      assert.deepStrictEqual(yield* read(path.dirname(made)), yield* read(run))
      assert.isTrue(fs.readFileSync(made).equals(bytes))
    }))

  it.live("4 with a damaged list opens; the list is refused when it is read, in a sentence", () =>
    Effect.gen(function*() {
      const made = older("damaged", 4)
      sql(made, (db) => db.exec("UPDATE candidates SET logps = '[-0.1,' WHERE step = 6 AND idx = 0"))
      yield* opened(made)
      assert.strictEqual(sql(made, (db) => db.prepare("SELECT CAST(logps AS TEXT) AS logps FROM candidates WHERE step = 6 AND idx = 0").get()!["logps"]), "[-0.1,")
      const { message } = yield* Effect.flip(
        PreferenceBuffer.use(({ take }) => take(6)).pipe(Effect.provide(BufferSqlite.layer({ path: made, maxStaleness: 100, staleWeight: 1 })))
      )
      assert.match(message, /run\.db could not be used: A list of numbers is damaged: its type is the unknown byte 91\./)
      const place = { step: 6, promptId: "id of a cat", index: 0 }
      const shown = yield* Effect.flip(Archive.use(({ rollout }) => rollout(path.dirname(made), place)).pipe(Effect.provide(archiveSqlite.layer)))
      assert.match(shown.message, /run\.db cannot be read: A list of numbers is damaged/)
    }))

  it.live("4 becomes smaller on the disk, at the next opening if not at the first", () =>
    Effect.gen(function*() {
      const folder = folderOf("large")
      const wide = path.join(folder, "wide.db")
      const made = path.join(folder, "run.db")
      yield* put(wide, 0)
      sql(wide, (db) => {
        const logps = blobOf(Array.from({ length: 200 }, (_, n) => -Math.log(n + 2)))
        const candidate = db.prepare(`INSERT INTO candidates SELECT step, prompt_id, ?, prompt, policy_version, seed, prompt_ids, completion_ids, ?, svg, finish,
          rendering, reason, detail, picture_hash FROM candidates WHERE idx = 0`)
        db.exec("BEGIN")
        for (let n = 3; n < 600; n++) candidate.run(n, logps)
        db.exec("COMMIT")
      })
      asOlder(wide, made, 4)
      const before = fs.statSync(made).size
      const reader = new DatabaseSync(made, { readOnly: true })
      const reading = reader.prepare("SELECT 1 FROM candidates").iterate()
      reading.next() // a page of the studio, at this moment
      yield* opened(made)
      reading.return!()
      reader.close()
      yield* opened(made)
      assert.isBelow(fs.statSync(made).size, 0.75 * before)
      assert.isFalse(fs.existsSync(`${made}-wal`))
    }))
})
