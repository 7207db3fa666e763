/** How a run that is spread tells all of its runners that it has ended: a row of the run in the database. */
import { randomUUID } from "node:crypto"
import { Effect, Schedule, Schema } from "effect"
import type { PostgresFailed } from "../../../layers/postgres/db.ts"
import { RunPostgres } from "../../../layers/postgres/run-postgres.ts"

const End = Schema.Struct({
  /** Another one each time that the run ends. */
  id: Schema.String,
  /** For people, where it failed: one sentence. */
  failed: Schema.optionalKey(Schema.String)
})
export type End = typeof End.Type
const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(End))

const key = "spread_end"

/** @param failed why, if not by its last step */
export const tellEnd = (failed?: string) =>
  Effect.flatMap(RunPostgres, ({ run, transaction }) =>
    transaction(({ rows }) =>
      rows("INSERT INTO meta VALUES ($1, $2, $3) ON CONFLICT (run, key) DO UPDATE SET value = excluded.value", [
        run, key, JSON.stringify({ id: randomUUID(), ...(failed === undefined ? {} : { failed }) } satisfies End)
      ])))

/** The last one told, if there is one. */
const lastEnd: Effect.Effect<End | undefined, PostgresFailed, RunPostgres> = Effect.flatMap(RunPostgres, ({ read, run }) =>
  read(({ rows }) => rows("SELECT value FROM meta WHERE run = $1 AND key = $2", [run, key]))).pipe(
    Effect.flatMap(([row]) => row === undefined ? Effect.undefined : Effect.orDie(decode(row["value"])))
  )

/** Ends told from now on are heard: an effect that waits for the next. */
export const hearEnd = Effect.map(lastEnd, (before) =>
  lastEnd.pipe(
    Effect.repeat({ until: (end) => end !== undefined && end.id !== before?.id, schedule: Schedule.spaced("1 second") }),
    Effect.map((end) => end!)
  ))
