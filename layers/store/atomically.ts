import type { DatabaseSync } from "node:sqlite"

/** Does all of the work or nothing; throws what the work or SQLite throws. */
export const atomically = <A>(db: DatabaseSync, work: () => A): A => {
  db.exec("BEGIN IMMEDIATE")
  try {
    const value = work()
    db.exec("COMMIT")
    return value
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK")
    throw error
  }
}
