/** Statements of one transaction. */
import { Effect, Schema } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { readable, storable } from "./text.ts"

/** The database cannot be used; the message says which, why and what to do. Nothing of the work was written. */
export class PostgresFailed extends Schema.TaggedError<PostgresFailed>()("PostgresFailed", {
  message: Schema.String
}) {}

export type Row = Readonly<Record<string, unknown>>

export interface Db {
  /** Where it is, for people: host, port and name. */
  readonly place: string
  /** The rows of one statement. `$1` is the first of the parameters. */
  readonly rows: (statement: string, parameters?: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<Row>, SqlError>
  /** All rows must have the columns of the first. They keep their order. */
  readonly insert: (table: string, rows: ReadonlyArray<Row>) => Effect.Effect<void, SqlError>
}

const each = (change: (text: string) => string) => (value: unknown): unknown => typeof value === "string" ? change(value) : value
/** As JSON has it; Postgres reads bytes in hexadecimal. */
const inJson = (value: unknown): unknown => value instanceof Uint8Array ? `\\x${Buffer.from(value).toString("hex")}` : each(storable)(value)
const inRow = (change: (value: unknown) => unknown) => (row: Row): Row =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [name, change(value)]))

export const makeDb = (sql: SqlClient, place: string): Db => {
  return {
    place,
    rows: (statement, parameters = []) =>
      Effect.map(sql.unsafe<Row>(statement, parameters.map(each(storable))), (found) => found.map(inRow(each(readable)))),
    insert: (table, all) => {
      if (all.length === 0) return Effect.void
      const columns = Object.keys(all[0]!).join(", ")
      // One parameter, however many rows there are: the statement is prepared once.
      return Effect.asVoid(sql.unsafe(
        `INSERT INTO ${table} (${columns})
         SELECT ${columns} FROM json_populate_recordset(NULL::${table}, $1::json) WITH ORDINALITY ORDER BY ordinality`,
        [JSON.stringify(all.map(inRow(inJson)))]
      ))
    }
  }
}
