/**
 * Keeps a second process out of a run folder. Node has no flock, so this holds the exclusive lock of an empty SQLite
 * file beside run.db: the kernel frees it no matter how this process ends, and everybody can still read run.db.
 */
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { Effect } from "effect"
import { FileProblem } from "../../src/system/files.ts"
import { isLocked } from "../../src/system/sqlite.ts"
import type { RunFolder } from "../../src/run/folder.ts"

const lock = (file: string): DatabaseSync => {
  const db = new DatabaseSync(file, { timeout: 100 }) // longer than isWorked looks
  try {
    db.exec("BEGIN EXCLUSIVE")
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Held until the scope closes. */
export const lockRun = (run: RunFolder) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => lock(run.file("run.lock")),
      catch: (cause) =>
        new FileProblem({
          message: isLocked(cause)
            ? `Another process is working in ${run.path}: wait until it has ended, or end it first.`
            : `${run.path} cannot be written to (${(cause as Error).message}): check its permissions and those of its files.`
        })
    }),
    (db) => Effect.sync(() => db.close())
  )

/** Whether a process works in a run folder now. */
export const isWorked = (run: RunFolder): boolean => {
  const file = run.file("run.lock")
  if (!fs.existsSync(file)) return false
  const db = new DatabaseSync(file, { readOnly: true, timeout: 0 })
  try {
    db.prepare("SELECT 1 FROM sqlite_master").get()
    return false
  } catch (cause) {
    return isLocked(cause)
  } finally {
    db.close()
  }
}
