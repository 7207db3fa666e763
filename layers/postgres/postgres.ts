/**
 * A Postgres server with the runs of many folders (schema.ts): a pool of connections by @effect/sql-pg. What was written is
 * durable when the effect returns.
 *
 * A lost connection, a server that starts again and a transaction in the way are waited for and tried again. Where the
 * answer to a COMMIT is lost, nobody knows whether it came through. So every transaction begins with a receipt, a row under a
 * token of its own, and keeps that token when it is tried again: the row is there if, and only if, it was committed before. If
 * the server is still at work on it, inserting the receipt waits for that.
 */
import { randomUUID } from "node:crypto"
import { PgClient, PgConnection, PgPool } from "@effect/sql-pg"
import { Cause, Config, Context, Duration, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { hiding } from "../../src/system/secrets.ts"
import { type Db, makeDb, PostgresFailed } from "./db.ts"
import { passes, sentence } from "./failures.ts"
import { bringUpToDate, schema, schemaVersion, versionIn } from "./schema.ts"

export interface PostgresOptions {
  /** `postgres://user:password@host:port/name`; `?sslmode=require` for TLS, whose certificate is then checked. */
  readonly url: Redacted.Redacted
  /** Most connections of the pool; two more are opened where they are needed (hold-run.ts, judgments.ts). Default 8. */
  readonly maxConnections?: number
  /** Seconds for which a server that was there is waited for. Default 120; at first it is waited for 5 at most. */
  readonly patience?: number
}

type Work<A> = (db: Db) => Effect.Effect<A, SqlError | PostgresFailed>

export class Postgres extends Context.Service<Postgres, {
  /** Where it is, for people: host, port and name. */
  readonly place: string
  /** All of the work or nothing, and once, however often it is tried. */
  readonly transaction: <A>(work: Work<A>) => Effect.Effect<A, PostgresFailed>
  /** Writes nothing. */
  readonly read: <A>(work: Work<A>) => Effect.Effect<A, PostgresFailed>
  /** A connection outside of the pool; it is not opened again where it is lost. */
  readonly session: Effect.Effect<PgConnection.PgConnection, SqlError, Scope.Scope>
  /** The same, opened again when it is next used; one user at a time. */
  readonly soleSession: Effect.Effect<PgPool.PgPool, SqlError, Scope.Scope>
  /** Waits and tries again where that may help. */
  readonly patiently: <A, R>(attempt: Effect.Effect<A, SqlError | PostgresFailed, R>) => Effect.Effect<A, PostgresFailed, R>
}>()("vequinox/Postgres") {
  /** Makes the tables if they are missing. Fails with `PostgresFailed`. The connections are closed when the scope ends. */
  static readonly layer = (options: PostgresOptions) => Layer.effect(Postgres, makePostgres(options))

  /** With the address from DATABASE_URL. */
  static readonly layerConfig = (options: Omit<PostgresOptions, "url"> = {}) =>
    Layer.unwrap(Effect.map(databaseUrl, (url) => Postgres.layer({ ...options, url })))

  /** A client with connections of its own, for tables that others make in the same schema (layers/cluster). */
  static readonly layerClient = () => Layer.unwrap(Effect.map(databaseUrl, (url) => Layer.orDie(PgClient.layer(settingsOf({ url })))))
}

/** Fails with `PostgresFailed` if there is none. */
export const databaseUrl = Effect.mapError(
  Effect.filterOrFail(Config.Redacted("DATABASE_URL"), (url) => Redacted.value(url).trim() !== "", () => "empty"),
  () => new PostgresFailed({ message: `Postgres needs an address: set DATABASE_URL in the environment, for example ${example}.` })
)

const example = "postgres://user:password@localhost:5432/name"

/** Longest for one statement on the server, and for one attempt of all that a transaction does, milliseconds. */
const statementTimeout = 30_000
const attemptTimeout = 90_000
/** Longest for bringing the tables of all runs up to date: a third of a millisecond for each drawing, once. */
const upToDateTimeout = 60 * 60_000

/** What no message may show, and where the database is, for people. */
const described = Effect.fnUntraced(function*(address: Redacted.Redacted) {
  return yield* Effect.try({
    try: () => {
      const url = new URL(Redacted.value(address))
      if (!/^postgres(ql)?:$/.test(url.protocol)) throw new Error("another protocol")
      const host = url.hostname === "" ? url.searchParams.get("host") ?? "localhost" : url.hostname
      const password = url.searchParams.get("password") ?? decodeURIComponent(url.password)
      return {
        place: `${host}:${url.port || url.searchParams.get("port") || 5432}/${decodeURIComponent(url.pathname.slice(1))}`,
        hidden: hiding(Redacted.make(password))
      }
    },
    catch: () => new PostgresFailed({ message: `DATABASE_URL is not the address of a Postgres database: it should look like ${example}.` })
  })
})

const settingsOf = ({ maxConnections = 8, url }: PostgresOptions) => ({
  url,
  maxConnections,
  applicationName: "vequinox",
  connectTimeout: "5 seconds",
  keepAlive: "30 seconds",
  startupParameters: {
    search_path: schema,
    synchronous_commit: "on", // durable when COMMIT returns, whatever the server's default
    default_transaction_isolation: "read committed",
    statement_timeout: String(statementTimeout),
    idle_in_transaction_session_timeout: String(2 * statementTimeout),
    // The server notices within a minute that a machine is gone, and frees what it held.
    tcp_keepalives_idle: "30",
    tcp_keepalives_interval: "10",
    tcp_keepalives_count: "3"
  }
} satisfies PgClient.PgPoolConfig)

/** A transaction that cannot even be rolled back, because its connection is lost, ends as a defect. */
const failing = <A, R>(attempt: Effect.Effect<A, SqlError | PostgresFailed, R>) =>
  Effect.catchCause(attempt, (cause) => {
    const lost = cause.reasons.find((reason) => Cause.isDieReason(reason) && reason.defect instanceof SqlError)
    return lost === undefined || !Cause.isDieReason(lost) ? Effect.failCause(cause) : Effect.fail(lost.defect as SqlError)
  })

const tooLong = (limit: number) => new SqlError({ reason: new ConnectionError({ cause: new Error(`no answer within ${limit / 1000} s`), message: "timeout" }) })

const makePostgres = Effect.fnUntraced(function*(options: PostgresOptions) {
  const { hidden, place } = yield* described(options.url)
  const settings = settingsOf(options)
  const sql = yield* Effect.provide(PgClient.PgClient, yield* Layer.build(Layer.orDie(PgClient.layer(settings))))
  const db = makeDb(sql, place)
  const patience = { seconds: 5 }

  const waiting = () =>
    Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")]).pipe(
      Schedule.jittered,
      Schedule.upTo({ duration: Duration.seconds(patience.seconds) }),
      Schedule.setInputType<SqlError | PostgresFailed>(),
      Schedule.while(({ input }) => input._tag === "SqlError" && passes(input))
    )
  const patiently = <A, R>(attempt: Effect.Effect<A, SqlError | PostgresFailed, R>, limit = attemptTimeout) =>
    failing(attempt).pipe(
      Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.fail(tooLong(limit)) }),
      (limited) => Effect.suspend(() => Effect.retry(limited, waiting())),
      Effect.mapError((error) => error._tag === "SqlError" ? new PostgresFailed({ message: hidden.text(sentence(place, error)) }) : error),
      // A row that is not what it should be: of somebody else's hand.
      Effect.catchDefect((defect) => new PostgresFailed({ message: `The database ${place} could not be used (${hidden.text(String((defect as Error).message ?? defect))}).` })),
      Effect.withTracerEnabled(false) // statements are nobody's business
    )

  const known: Array<string> = []
  const transaction = <A>(work: Work<A>) =>
    Effect.suspend(() => {
      const token = randomUUID()
      const done: { value?: { readonly of: A } } = {}
      return Effect.tap(
        patiently(sql.withTransaction(Effect.gen(function*() {
          const [receipt] = yield* db.rows(
            `WITH forgotten AS (DELETE FROM receipts WHERE token = ANY ($2::text[]::uuid[]))
             INSERT INTO receipts (token) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1 AS fresh`,
            [token, known.splice(0)]
          )
          if (receipt === undefined && done.value !== undefined) return done.value.of
          const value = yield* work(db)
          done.value = { of: value }
          return value
        }))),
        () => Effect.sync(() => void known.push(token))
      )
    })

  if ((yield* patiently(versionIn(db))) !== schemaVersion) {
    yield* patiently(sql.withTransaction(bringUpToDate(db, upToDateTimeout)), upToDateTimeout)
  }
  yield* patiently(db.rows("DELETE FROM receipts WHERE at < now() - interval '1 day'")) // of processes that were killed
  patience.seconds = options.patience ?? 120

  return Postgres.of({
    place,
    transaction,
    read: (work) => patiently(Effect.suspend(() => work(db))),
    session: PgConnection.make(settings),
    soleSession: PgPool.make({ ...settings, maxConnections: 1, idleTimeout: Duration.infinity }),
    patiently
  })
})
