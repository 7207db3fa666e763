/** The ledger of paid calls in the run's database. */
import { Effect, Layer } from "effect"
import { Ledger } from "../../src/stages/Ledger.ts"
import { RunDatabase } from "./run-database.ts"

export const layer = Layer.effect(
  Ledger,
  Effect.gen(function*() {
    const { read, together } = yield* RunDatabase
    return {
      spentBefore: read((db) => Number(db.prepare("SELECT coalesce(sum(nano_usd), 0) AS nano FROM calls").get()!["nano"])),
      asked: (question, worst) =>
        together((db) =>
          Number(db.prepare("INSERT INTO calls VALUES (NULL, ?, 'asked', ?)").run(question, worst).lastInsertRowid)),
      ended: (call, cost) =>
        together((db) => void db.prepare("UPDATE calls SET state = 'ended', nano_usd = ? WHERE id = ?").run(cost, call))
    }
  })
)
