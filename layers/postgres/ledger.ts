/** The ledger of paid calls in Postgres. */
import { Effect, Layer } from "effect"
import { Ledger } from "../../src/stages/Ledger.ts"
import { RunPostgres } from "./run-postgres.ts"

const noteExcess = `
  INSERT INTO meta VALUES ($1, 'charge_excess', $2) ON CONFLICT (run, key) DO UPDATE SET value = excluded.value
    WHERE meta.value::float8 < excluded.value::float8`

export const layer = Layer.effect(
  Ledger,
  Effect.gen(function*() {
    const { read, transaction } = yield* RunPostgres
    return {
      spentBefore: read(({ rows, run }) =>
        Effect.map(rows("SELECT coalesce(sum(nano_usd), 0)::text AS nano FROM calls WHERE run = $1", [run]), ([row]) => Number(row!["nano"]))),
      excessBefore: read(({ rows, run }) =>
        Effect.map(rows("SELECT value FROM meta WHERE run = $1 AND key = 'charge_excess'", [run]), ([row]) => Math.max(1, Number(row?.["value"] ?? 1)))),
      asked: (question, worst) =>
        transaction(({ rows, run }) =>
          Effect.map(
            rows("INSERT INTO calls (run, question, state, nano_usd) VALUES ($1, $2, 'asked', $3) RETURNING id::text AS id", [run, question, worst]),
            ([row]) => Number(row!["id"])
          )),
      ended: (call, cost, rate = 0) =>
        Effect.asVoid(transaction(({ rows, run }) =>
          Effect.andThen(
            rows("UPDATE calls SET state = 'ended', nano_usd = $3 WHERE run = $1 AND id = $2", [run, call, cost]),
            rate > 1 ? rows(noteExcess, [run, String(rate)]) : Effect.void
          )))
    }
  })
)
