/** The ledger of paid calls in the run's database. */
import type { DatabaseSync } from "node:sqlite"
import { Effect, Layer } from "effect"
import { Ledger } from "../../src/stages/Ledger.ts"
import { RunDatabase } from "./run-database.ts"

const excessIn = (db: DatabaseSync): number =>
  Math.max(1, Number(db.prepare("SELECT value FROM meta WHERE key = 'charge_excess'").get()?.["value"] ?? 1))

export const layer = Layer.effect(
  Ledger,
  Effect.gen(function*() {
    const { read, together } = yield* RunDatabase
    return {
      spentBefore: read((db) => Number(db.prepare("SELECT coalesce(sum(nano_usd), 0) AS nano FROM calls").get()!["nano"])),
      excessBefore: read(excessIn),
      asked: (question, worst) =>
        together((db) =>
          Number(db.prepare("INSERT INTO calls VALUES (NULL, ?, 'asked', ?)").run(question, worst).lastInsertRowid)),
      ended: (call, cost, rate = 0) =>
        together((db) => {
          db.prepare("UPDATE calls SET state = 'ended', nano_usd = ? WHERE id = ?").run(cost, call)
          if (rate > excessIn(db)) db.prepare("INSERT OR REPLACE INTO meta VALUES ('charge_excess', ?)").run(String(rate))
        })
    }
  })
)
