/**
 * Copies a run's rows into a run.db of its folder, once it has ended: every command that reads a run reads that, and the
 * folder has everything of the run that it has elsewhere.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import type { DatabaseSync, SQLInputValue } from "node:sqlite"
import { Effect } from "effect"
import { explain, FileProblem, syncFolder } from "../../src/system/files.ts"
import { RunDatabase } from "../store/run-database.ts"
import type { Row } from "./db.ts"
import { RunPostgres } from "./run-postgres.ts"

/** In the order of their references, and whether they are copied so many steps at a time. */
const tables = {
  rollouts: true, candidates: true, verdicts: true, lessons: true, costs: true, judgments: true, reports: true, checkpoints: true,
  calls: false, killed: false, faults: false, meta: false
}

/** Steps of a page. */
const page = 16

const lastStep = `
  SELECT coalesce(max(step), -1) AS last FROM (SELECT step FROM rollouts WHERE run = $1 UNION ALL SELECT step FROM judgments WHERE run = $1
    UNION ALL SELECT step FROM checkpoints WHERE run = $1) steps`

const columnsOf = (db: DatabaseSync, table: string): ReadonlyArray<string> =>
  db.prepare("SELECT name FROM pragma_table_info(?)").all(table).map(({ name }) => String(name))

const plain = (value: unknown): SQLInputValue => typeof value === "bigint" ? Number(value) : value as SQLInputValue

/** @param file where it is made; one that is there is replaced once the copy is whole */
export const copyRun = Effect.fnUntraced(function*(file: string) {
  const postgres = yield* RunPostgres
  const part = `${file}.part`
  const remove = Effect.sync(() => ["", "-wal", "-shm"].forEach((end) => fs.rmSync(part + end, { force: true })))
  yield* remove
  const copy = Effect.gen(function*() {
    const { read, transaction } = yield* RunDatabase
    const [top] = yield* postgres.read(({ rows, run }) => rows(lastStep, [run]))
    const pages = Array.from({ length: Math.ceil((Number(top!["last"]) + 1) / page) }, (_, n) => n * page)
    for (const [table, stepwise] of Object.entries(tables)) {
      const columns = yield* read((db) => columnsOf(db, table))
      const insert = (rows: ReadonlyArray<Row>) =>
        transaction((db) => {
          const statement = db.prepare(`INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`)
          for (const row of rows) statement.run(...columns.map((column) => plain(row[column])))
        })
      const select = (where: string) => `SELECT ${columns.join(", ")} FROM ${table} WHERE run = $1 ${where} ORDER BY 1, 2`
      if (!stepwise) yield* insert(yield* postgres.read(({ rows, run }) => rows(select(""), [run])))
      for (const from of stepwise ? pages : []) {
        yield* insert(yield* postgres.read(({ rows, run }) => rows(select("AND step >= $2 AND step < $3"), [run, from, from + page])))
      }
    }
  })
  yield* copy.pipe(
    Effect.provide(RunDatabase.layer({ path: part })),
    Effect.onError(() => remove)
  )
  yield* Effect.try({
    try: () => {
      fs.renameSync(part, file)
      syncFolder(path.dirname(file))
    },
    catch: (cause) => new FileProblem({ message: `${file} cannot be written: ${explain(cause)}.` })
  })
})
