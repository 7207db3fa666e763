/**
 * One process at a time trains a run: it holds an advisory lock, which the server frees however the process ends, as
 * run.lock does in the run's folder. The lock is lost where its connection is (the server started again), and
 * taken again; meanwhile another process may have taken it. So each holder gets a number, and a transaction of one that is no
 * longer the last changes nothing.
 */
import type { PgConnection } from "@effect/sql-pg"
import { Effect, Exit, Queue, Schedule, Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Db, PostgresFailed } from "./db.ts"
import { Postgres } from "./postgres.ts"

/** Keeps our locks apart from others' in the same database: "vequ". */
const lockClass = 0x76657175

/** The server may take a moment to see that the process before is gone. */
const patience = Schedule.upTo(Schedule.spaced("100 millis"), { duration: "4 seconds" })

const lock = (session: PgConnection.PgConnection, run: number): Effect.Effect<boolean, SqlError> =>
  Effect.map(session.query("SELECT pg_try_advisory_lock($1, $2) AS held", [lockClass, run]), ({ rows }) => rows[0]!["held"] === true)

/** A connection that holds the lock, or undefined if another holds it. */
const holding = Effect.fnUntraced(function*(run: number) {
  const { session } = yield* Postgres
  const scope = yield* Scope.fork(yield* Effect.scope)
  const connection = yield* Scope.provide(session, scope)
  if (yield* lock(connection, run)) return { connection, scope }
  yield* Scope.close(scope, Exit.void)
  return undefined
})

/** Waits until the connection is lost. */
const lost = (connection: PgConnection.PgConnection) =>
  Effect.ignore(Effect.scoped(Effect.flatMap(connection.listen("vequinox_held"), (queue) => Effect.forever(Queue.take(queue)))))

/**
 * Holds the run until the scope ends. Fails with `PostgresFailed` if another process holds it.
 * @param name for people
 * @returns fails where this process is no longer the holder; call it first in each transaction that writes
 */
export const holdRun = Effect.fnUntraced(function*(run: number, name: string) {
  const postgres = yield* Postgres
  const elsewhere = new PostgresFailed({ message: `Another process is training run ${name}: wait until it has ended, or end it first.` })
  const held = yield* postgres.patiently(holding(run)).pipe(
    Effect.filterOrFail((held) => held !== undefined, () => elsewhere),
    Effect.retry({ while: (error) => error === elsewhere, schedule: patience })
  )
  const mine = yield* postgres.transaction(({ rows }) =>
    Effect.map(rows("UPDATE runs SET holds = holds + 1 WHERE id = $1 RETURNING holds", [run]), ([row]) => Number(row?.["holds"])))

  const keep = Effect.gen(function*() {
    let now: typeof held | undefined = held
    while (now !== undefined) {
      yield* lost(now.connection)
      yield* Scope.close(now.scope, Exit.void)
      now = yield* postgres.patiently(holding(run))
    }
  })
  yield* Effect.forkScoped(Effect.ignore(keep))

  return ({ rows }: Db) =>
    Effect.flatMap(rows("SELECT holds FROM runs WHERE id = $1 FOR SHARE", [run]), ([row]) =>
      row?.["holds"] === mine ? Effect.void : Effect.fail(
        new PostgresFailed({
          message: row === undefined
            ? `Run ${name} is no longer in the database: begin a new run.`
            : `Another process has taken over run ${name} while the database was away: this one stops.`
        })
      ))
})
