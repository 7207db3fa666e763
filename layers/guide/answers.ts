/** Paid answers, in one SQLite file that every run shares: the same question is never paid for twice. */
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Context, Effect, Layer, Schedule } from "effect"
import { makeFolders } from "../../src/system/folders.ts"
import { isLocked } from "../../src/system/sqlite.ts"
import { AnswersFailed } from "./answers-failed.ts"
import { makeOpenBatches, type OpenBatches, tables } from "./open-batches.ts"

/** Refuses a database of another program. */
const needOwn = (db: DatabaseSync): void => {
  const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all().map(({ name }) => name)
  if (tables.length > 0 && !tables.includes("replies")) throw new Error(`it is a database of something else, with a table ${tables[0]}`)
}

/** How long a statement waits while another process writes, in milliseconds. */
const timeout = 5000

/** Throws where the file is locked: two processes that make it at once wait for no lock while they turn the log on. */
const open = (file: string): DatabaseSync => {
  makeFolders(path.dirname(file))
  const db = new DatabaseSync(file, { timeout })
  try {
    needOwn(db)
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      CREATE TABLE IF NOT EXISTS replies (
        key TEXT PRIMARY KEY, answer TEXT NOT NULL, nano_usd INTEGER NOT NULL
      ) STRICT;
      ${tables}`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Keys are hashes of everything an answer depends on: the model, every word of the question, and the pictures in order.
 */
export class Answers extends Context.Service<Answers, {
  readonly get: (key: string) => Effect.Effect<string | undefined, AnswersFailed>
  /**
   * Durable once it returns.
   * @param answer the model's own text
   * @param nanoUsd what it cost
   */
  readonly put: (key: string, answer: string, nanoUsd: number) => Effect.Effect<void, AnswersFailed>
  /** The batches under way, if questions are asked in batches. */
  readonly batches: OpenBatches
}>()("vequinox/Answers") {
  /** @param file created, with its folder, if it is missing */
  static readonly layer = (file: string) =>
    Layer.effect(
      Answers,
      Effect.gen(function*() {
        const cannotBeUsed = (cause: unknown) =>
          new AnswersFailed({
            message: `The judge's answers in ${file} cannot be used (${
              (cause as Error).message
            }): check the file, or name another with --judge-cache.`
          })
        const attempt = <A>(work: () => A) => Effect.try({ try: work, catch: cannotBeUsed })
        const db = yield* Effect.acquireRelease(
          Effect.try({ try: () => open(file), catch: (cause) => ({ failed: cannotBeUsed(cause), locked: isLocked(cause) }) }).pipe(
            Effect.retry({ while: ({ locked }) => locked, schedule: Schedule.spaced("50 millis"), times: 100 }),
            Effect.mapError(({ failed }) => failed)
          ),
          (db) => Effect.sync(() => db.close())
        )
        const select = db.prepare("SELECT answer FROM replies WHERE key = ?")
        const insert = db.prepare("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)")
        return {
          get: (key) => attempt(() => (select.get(key) as { readonly answer: string } | undefined)?.answer),
          put: (key, answer, nanoUsd) => attempt(() => void insert.run(key, answer, nanoUsd)),
          batches: makeOpenBatches(db, attempt)
        }
      })
    )

  /** Forgets everything when the scope ends. */
  static readonly layerMemory = Answers.layer(":memory:")
}
