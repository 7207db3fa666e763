/**
 * The ledger of a run whose calls many runners pay: it holds the budget for the run as a whole. Each runner's own budget
 * (layers/guide/budget.ts) knows only what others booked before it began.
 *
 * A call is booked at the most it can cost before it is sent, in a transaction that no other runner's can overlap, and only if
 * all that is booked leaves room for it. So booked calls never pass the budget. A server that charges more than was booked is
 * known from its first such answer on (`charge_excess`): from then on everything under way counts that much more. What
 * was already under way then, at most a runner's calls at once for each runner, can pass the budget by that excess.
 */
import { Clock, Effect, Layer } from "effect"
import { Ledger } from "../../src/stages/Ledger.ts"
import type { PostgresFailed } from "../postgres/db.ts"
import { type RunDb, RunPostgres } from "../postgres/run-postgres.ts"

export interface SharedLedgerOptions {
  /** US dollars; Infinity sets no limit. */
  readonly budgetUsd: number
}

/** How long the calls of other runners are waited for, milliseconds: after that, they count as spent. A killed runner's never end. */
const patience = 120_000

/** What is booked with an end, and without one, nano-USD, the latter at the highest charge so far. */
const booked = Effect.fnUntraced(function*({ rows, run }: RunDb) {
  yield* rows("SELECT pg_advisory_xact_lock(hashtextextended('vequinox budget', $1))::text AS locked", [run])
  const [row] = yield* rows(
    `WITH excess AS (SELECT greatest(1, coalesce(max(value::float8), 1)) AS of FROM meta WHERE run = $1 AND key = 'charge_excess')
     SELECT excess.of AS excess,
       coalesce(sum(nano_usd) FILTER (WHERE state <> 'asked'), 0)::float8 AS ended,
       ceil(excess.of * coalesce(sum(nano_usd) FILTER (WHERE state = 'asked'), 0)::float8) AS "underWay"
     FROM excess LEFT JOIN calls ON calls.run = $1 GROUP BY excess.of`,
    [run]
  )
  return { excess: Number(row!["excess"]), ended: Number(row!["ended"]), underWay: Number(row!["underWay"]) }
})

const spent = (budgetUsd: number, left: number, worst: number) => ({
  message: `The budget of $${budgetUsd}, which all runners share, has $${(Math.max(0, left) / 1e9).toFixed(6)} left, and the next judgment could cost $${
    (worst / 1e9).toFixed(6)
  }: raise --budget-usd to continue.`
})

/** Over a ledger in Postgres. */
export const layer = ({ budgetUsd }: SharedLedgerOptions) =>
  Layer.effect(
    Ledger,
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const { transaction } = yield* RunPostgres
      const limit = Math.floor(budgetUsd * 1e9 + 1e-3)
      /** The call's number, or what it found in its way. */
      const attempt = (question: string, worst: number) =>
        transaction((db) =>
          Effect.gen(function*() {
            const { ended, excess, underWay } = yield* booked(db)
            if (ended + underWay + Math.ceil(excess * worst) > limit) return { ended, excess, underWay }
            const [row] = yield* db.rows(
              "INSERT INTO calls (run, question, state, nano_usd) VALUES ($1, $2, 'asked', $3) RETURNING id::text AS id",
              [db.run, question, worst]
            )
            return Number(row!["id"])
          }))
      const asked = Effect.fnUntraced(function*(question: string, worst: number): Effect.fn.Return<number, PostgresFailed | { readonly message: string }> {
        const began = yield* Clock.currentTimeMillis
        for (;;) {
          const found = yield* attempt(question, worst)
          if (typeof found === "number") return found
          const waited = (yield* Clock.currentTimeMillis) - began
          const left = limit - found.ended
          if (Math.ceil(found.excess * worst) > left || waited > patience) {
            return yield* Effect.fail(spent(budgetUsd, waited > patience ? left - found.underWay : left, Math.ceil(found.excess * worst)))
          }
          yield* Effect.sleep("250 millis")
        }
      })
      return budgetUsd === Infinity ? ledger : { ...ledger, asked }
    })
  )
