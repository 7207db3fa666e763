/** One run among those of a Postgres database: what layers/store/run-database.ts is for the file of a run. */
import { Context, Effect, Layer } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { type Db, PostgresFailed } from "./db.ts"
import { holdRun } from "./hold-run.ts"
import { Postgres } from "./postgres.ts"

export interface RunDb extends Db {
  /** The run's number, in the column `run` of every table. */
  readonly run: number
}

export interface RunPostgresOptions {
  /** The run's identity in the database: `run_id` in config.json of its folder. */
  readonly run: string
}

type Work<A> = (db: RunDb) => Effect.Effect<A, SqlError | PostgresFailed>

export class RunPostgres extends Context.Service<RunPostgres, {
  /** All of the work or nothing, and once. */
  readonly transaction: <A>(work: Work<A>) => Effect.Effect<A, PostgresFailed>
  /** Writes nothing. */
  readonly read: <A>(work: Work<A>) => Effect.Effect<A, PostgresFailed>
  /** The run's number. */
  readonly run: number
}>()("vequinox/RunPostgres") {
  /** For any process that draws, judges or takes; the run is made if it is missing. */
  static readonly layer = (options: RunPostgresOptions) =>
    Layer.effect(
      RunPostgres,
      Effect.flatMap(Effect.andThen(make(options.run), find(options.run)), (run) => makeRunPostgres(run!, () => Effect.void))
    )

  /**
   * For the one process that trains the run, until the scope ends. Fails with `PostgresFailed` if another does, and if a run
   * that has begun is not in the database.
   */
  static readonly layerTrainer = (options: RunPostgresOptions & { readonly begun: boolean }) =>
    Layer.effect(RunPostgres, makeTrainer(options))
}

const find = Effect.fnUntraced(function*(name: string) {
  const { read } = yield* Postgres
  const [row] = yield* read(({ rows }) => rows("SELECT id FROM runs WHERE name = $1", [name]))
  return row === undefined ? undefined : Number(row["id"])
})

const make = Effect.fnUntraced(function*(name: string) {
  const { transaction } = yield* Postgres
  yield* transaction(({ rows }) => rows("INSERT INTO runs (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", [name]))
})

const makeRunPostgres = Effect.fnUntraced(function*(run: number, first: Work<void>) {
  const { read, transaction } = yield* Postgres
  const inRun = <A>(work: Work<A>) => (db: Db) => work({ ...db, run })
  return RunPostgres.of({
    run,
    read: (work) => read(inRun(work)),
    transaction: (work) => transaction(inRun((db) => Effect.andThen(first(db), work(db))))
  })
})

const makeTrainer = Effect.fnUntraced(function*({ begun, run: name }: RunPostgresOptions & { readonly begun: boolean }) {
  if (!begun) yield* make(name)
  const run = yield* find(name)
  if (run === undefined) {
    const { place } = yield* Postgres
    return yield* new PostgresFailed({ message: `The database ${place} does not hold run ${name}, which began in another: name that one in DATABASE_URL.` })
  }
  return yield* makeRunPostgres(run, yield* holdRun(run, name))
})

/** Removes everything of a run. */
export const forgetRun = Effect.flatMap(RunPostgres, ({ transaction }) => transaction(({ rows, run }) => rows("DELETE FROM runs WHERE id = $1", [run])))
