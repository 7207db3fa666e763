/** Reads a run's database from outside: writes nothing, and works while the run is still running. */
import { DatabaseSync, type SQLOutputValue } from "node:sqlite"
import { Effect } from "effect"
import { FileProblem } from "../../src/system/files.ts"

export type Row = Readonly<Record<string, SQLOutputValue>>

/** @param sentence tells people that the file cannot be read, given what SQLite said */
export const readOnly = <A>(
  file: string,
  work: (db: DatabaseSync) => A,
  sentence = (said: string): string => `${file} cannot be read: ${said}.`
): Effect.Effect<A, FileProblem> =>
  Effect.try({
    try: () => {
      const db = new DatabaseSync(file, { readOnly: true, timeout: 2000 })
      try {
        return work(db)
      } finally {
        db.close()
      }
    },
    catch: (cause) => new FileProblem({ message: sentence((cause as Error).message) })
  })

/** A missing table or column counts as empty: other versions have other tables. */
export const rowsOf = (db: DatabaseSync, sql: string): ReadonlyArray<Row> => {
  try {
    return db.prepare(sql).all()
  } catch (cause) {
    if (/^no such (table|column)/.test((cause as Error).message)) return []
    throw cause
  }
}
