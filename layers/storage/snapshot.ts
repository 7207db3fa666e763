/**
 * A run folder's files as they belong together at one moment of a run that goes on: the databases are copied by SQLite's
 * online backup, and the copy of run.db says which checkpoints there are. Other files only grow or are replaced whole.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { backup, DatabaseSync } from "node:sqlite"
import { Effect } from "effect"
import type { RunFolder } from "../../src/run/folder.ts"
import { explain, FileProblem } from "../../src/system/files.ts"
import { makeFolders } from "../../src/system/folders.ts"

export interface SnapshotFile {
  /** In the run folder, with slashes. */
  readonly path: string
  /** Where its bytes are. */
  readonly file: string
  /** It stays as it is from now on. */
  readonly settled: boolean
}

export interface Snapshot {
  readonly files: ReadonlyArray<SnapshotFile>
  /** Of the newest checkpoint; 0 without one. */
  readonly step: number
  /** Of all files together. */
  readonly bytes: number
}

/** Holds copies of databases while they are sent; removed afterwards, and before a new one. */
const stagingOf = (run: RunFolder): string => run.file(".storage")

/** What belongs to a process, not to the run; or is being written. */
const isPassing = (name: string): boolean => /^\.|^run\.lock|\.db-(wal|shm|journal)$|\.part(-\w+)?$/.test(name)

/** All pages in one go: nothing that is written meanwhile makes it begin again. It runs in a thread of its own. */
const allPages = 2 ** 31 - 1

const backedUp = async (from: string, to: string): Promise<void> => {
  const db = new DatabaseSync(from, { readOnly: true, timeout: 2000 })
  try {
    await backup(db, to, { rate: allPages })
  } finally {
    db.close()
  }
}

/** Steps of the checkpoints that a run's database knows, newest first. */
const checkpointsIn = (file: string): ReadonlyArray<number> => {
  const db = new DatabaseSync(file, { readOnly: true })
  try {
    return db.prepare("SELECT step FROM checkpoints ORDER BY step DESC").all().map(({ step }) => Number(step))
  } finally {
    db.close()
  }
}

/** Files below a folder, by paths with slashes. */
const filesBelow = (folder: string, above = ""): ReadonlyArray<string> =>
  fs.readdirSync(path.join(folder, above), { withFileTypes: true }).flatMap((entry) => {
    const name = above + entry.name
    if (isPassing(entry.name)) return []
    return entry.isDirectory() ? filesBelow(folder, `${name}/`) : entry.isFile() ? [name] : []
  }).toSorted()

/**
 * Its copies are removed when the scope ends. Fails with `FileProblem`, also where a checkpoint was replaced by a newer one
 * meanwhile: then another try finds that one.
 *
 * @param finished nothing of the folder is written any more
 */
export const snapshotOf = Effect.fnUntraced(function*(run: RunFolder, finished: boolean) {
  const staging = stagingOf(run)
  const remove = Effect.sync(() => fs.rmSync(staging, { recursive: true, force: true }))
  yield* Effect.acquireRelease(remove, () => remove)
  return yield* Effect.tryPromise({
    try: async (): Promise<Snapshot> => {
      makeFolders(staging)
      const isDatabase = (name: string) => /^[^/]+\.db$/.test(name)
      const databases = filesBelow(run.path).filter(isDatabase)
      for (const name of databases) await backedUp(run.file(name), path.join(staging, name))
      const steps = databases.includes("run.db") ? checkpointsIn(path.join(staging, "run.db")) : []
      const checkpoints = steps.flatMap((step) => filesBelow(run.path, `checkpoints/step-${step}/`))
      const others = filesBelow(run.path).filter((name) => !name.startsWith("checkpoints/") && !isDatabase(name))
      const files = [
        ...checkpoints.map((name) => ({ path: name, file: run.file(name), settled: true })),
        ...others.map((name) => ({ path: name, file: run.file(name), settled: finished })),
        ...databases.map((name) => ({ path: name, file: path.join(staging, name), settled: finished }))
      ]
      return { files, step: steps[0] ?? 0, bytes: files.reduce((n, { file }) => n + fs.statSync(file).size, 0) }
    },
    catch: (cause) => new FileProblem({ message: `${run.path} cannot be copied: ${explain(cause)}.` })
  })
})
