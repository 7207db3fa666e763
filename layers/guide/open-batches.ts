/**
 * Batches that a server works on, remembered in the file of the answers. What was sent is paid for, so after a crash it
 * is read, not sent again. A batch is written down before it is sent, and deleted when its last result is stored.
 */
import type { DatabaseSync } from "node:sqlite"
import type { Effect } from "effect"
import { atomically } from "../store/atomically.ts"
import type { AnswersFailed } from "./answers-failed.ts"

export interface OpenBatch {
  readonly id: number
  /** The server's name for it; undefined while it is unknown whether the server has it. */
  readonly name: string | undefined
  /** The newest batch that the server had before this one; null if it had none. */
  readonly after: string | null
  /** When it was about to be sent, milliseconds since 1970. */
  readonly sentAt: number
  /** The keys of its questions. */
  readonly keys: ReadonlyArray<string>
}

export interface OpenBatches {
  /** @param place the server's address */
  readonly open: (place: string) => Effect.Effect<ReadonlyArray<OpenBatch>, AnswersFailed>
  /** Called before the batch is sent. */
  readonly begin: (place: string, batch: Omit<OpenBatch, "id" | "name">) => Effect.Effect<OpenBatch, AnswersFailed>
  /** Called when the server has the batch. Works even if another process has deleted it. */
  readonly made: (place: string, batch: OpenBatch, name: string) => Effect.Effect<void, AnswersFailed>
  readonly close: (batch: OpenBatch) => Effect.Effect<void, AnswersFailed>
  /** Stores results of questions, as JSON; each is kept until its question has an answer. */
  readonly keep: (results: ReadonlyArray<readonly [key: string, message: string]>) => Effect.Effect<void, AnswersFailed>
  readonly result: (key: string) => Effect.Effect<string | undefined, AnswersFailed>
  readonly forget: (key: string) => Effect.Effect<void, AnswersFailed>
}

export const tables = `
  CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT NOT NULL, name TEXT, after TEXT, sent_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS batch_keys (
    batch INTEGER NOT NULL REFERENCES batches ON DELETE CASCADE, key TEXT NOT NULL, PRIMARY KEY (batch, key)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS batch_results (key TEXT PRIMARY KEY, message TEXT NOT NULL) STRICT;
  DELETE FROM batch_results WHERE key IN (SELECT key FROM replies)`

/** @param attempt turns what SQLite throws into `AnswersFailed` */
export const makeOpenBatches = (
  db: DatabaseSync,
  attempt: <A>(work: () => A) => Effect.Effect<A, AnswersFailed>
): OpenBatches => {
  const all = db.prepare("SELECT id, name, after, sent_at FROM batches WHERE place = ? ORDER BY id")
  const keysOf = db.prepare("SELECT key FROM batch_keys WHERE batch = ?")
  const insert = db.prepare("INSERT INTO batches VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name")
  const insertKey = db.prepare("INSERT OR IGNORE INTO batch_keys VALUES (?, ?)")
  const remove = db.prepare("DELETE FROM batches WHERE id = ?")
  const keepResult = db.prepare("INSERT OR REPLACE INTO batch_results VALUES (?, ?)")
  const select = db.prepare("SELECT message FROM batch_results WHERE key = ?")
  const forget = db.prepare("DELETE FROM batch_results WHERE key = ?")
  const whole = <A>(work: () => A) => attempt(() => atomically(db, work))
  const write = (id: number | null, place: string, name: string | null, { after, keys, sentAt }: Omit<OpenBatch, "id" | "name">) => {
    const { lastInsertRowid } = insert.run(id, place, name, after, sentAt)
    const own = id ?? Number(lastInsertRowid)
    for (const key of keys) insertKey.run(own, key)
    return own
  }
  return {
    open: (place) =>
      attempt(() =>
        all.all(place).map((row): OpenBatch => ({
          id: Number(row["id"]),
          name: (row["name"] as string | null) ?? undefined,
          after: row["after"] as string | null,
          sentAt: Number(row["sent_at"]),
          keys: keysOf.all(Number(row["id"])).map(({ key }) => key as string)
        }))
      ),
    begin: (place, batch) => whole(() => ({ ...batch, id: write(null, place, null, batch), name: undefined })),
    made: (place, batch, name) => whole(() => void write(batch.id, place, name, batch)),
    close: ({ id }) => attempt(() => void remove.run(id)),
    keep: (results) => whole(() => results.forEach(([key, message]) => keepResult.run(key, message))),
    result: (key) => attempt(() => select.get(key)?.["message"] as string | undefined),
    forget: (key) => attempt(() => void forget.run(key))
  }
}
