/**
 * Where a run keeps its state, judgments, lessons and paid calls: run.db in its folder, or among other runs in the Postgres
 * database that DATABASE_URL names.
 */
import { Context, Effect, Layer } from "effect"
import * as bufferPostgres from "../../../layers/buffer/postgres.ts"
import * as bufferSqlite from "../../../layers/buffer/sqlite.ts"
import * as judgmentsPostgres from "../../../layers/postgres/judgments.ts"
import * as killedDrawingsPostgres from "../../../layers/postgres/killed-drawings.ts"
import * as ledgerPostgres from "../../../layers/postgres/ledger.ts"
import { Postgres } from "../../../layers/postgres/postgres.ts"
import { forgetRun, RunPostgres } from "../../../layers/postgres/run-postgres.ts"
import * as runStatePostgres from "../../../layers/postgres/run-state.ts"
import * as judgmentsSqlite from "../../../layers/store/judgments.ts"
import * as killedDrawingsSqlite from "../../../layers/store/killed-drawings.ts"
import * as ledgerSqlite from "../../../layers/store/ledger.ts"
import { RunDatabase, RunDatabaseFailed } from "../../../layers/store/run-database.ts"
import * as runStateSqlite from "../../../layers/store/run-state.ts"
import type { StalenessOptions } from "../../lessons/staleness.ts"
import type { RunFolder } from "../../run/folder.ts"
import type { KilledDrawings } from "../../stages/KilledDrawings.ts"
import type { BufferFailed, PreferenceBuffer } from "../../stages/PreferenceBuffer.ts"
import type { RendererUnavailable } from "../../stages/Renderer.ts"
import type { RunState } from "../../stages/RunState.ts"

export interface Store {
  /** RunDatabase refuses everything where there is no run.db. */
  readonly services: Context.Context<RunDatabase | RunState>
  readonly buffer: (options: StalenessOptions) => Layer.Layer<PreferenceBuffer, BufferFailed>
  readonly judgments: Layer.Layer<never>
  readonly killedDrawings: Layer.Layer<KilledDrawings, RendererUnavailable>
  readonly ledger: Layer.Layer<never>
  /** Removes what the run has outside of its folder: it failed before it was under way. */
  readonly forget: Effect.Effect<void>
}

const sqlite = Effect.fnUntraced(function*(run: RunFolder) {
  const services = yield* Layer.build(runStateSqlite.layer.pipe(Layer.provideMerge(RunDatabase.layer({ path: run.file("run.db") }))))
  const inDatabase = Layer.provide(Layer.succeedContext(services))
  return {
    services,
    buffer: (options) => bufferSqlite.layerIn(options).pipe(inDatabase),
    judgments: judgmentsSqlite.layer.pipe(inDatabase),
    killedDrawings: killedDrawingsSqlite.layer.pipe(inDatabase),
    ledger: ledgerSqlite.layer.pipe(inDatabase),
    forget: Effect.void
  } satisfies Store as Store
})

/** A caller's own layer may want run.db. */
const noDatabase = ({ path }: RunFolder) => {
  const refuse = () => Effect.fail(new RunDatabaseFailed({ message: `${path} has no run.db to work in: the run is stored in Postgres.` }))
  return RunDatabase.of({ transaction: refuse, together: refuse, read: refuse })
}

const postgres = Effect.fnUntraced(function*(server: Context.Context<Postgres>, folder: RunFolder, run: string, begun: boolean) {
  const own = yield* Layer.build(RunPostgres.layerTrainer({ run, begun }).pipe(Layer.provideMerge(Layer.succeedContext(server))))
  const inDatabase = Layer.provide(Layer.succeedContext(own))
  const services = Context.add(yield* Layer.build(runStatePostgres.layer.pipe(inDatabase)), RunDatabase, noDatabase(folder))
  return {
    services,
    buffer: (options) => bufferPostgres.layerIn(options).pipe(inDatabase),
    judgments: judgmentsPostgres.layer.pipe(inDatabase),
    killedDrawings: killedDrawingsPostgres.layer.pipe(inDatabase),
    ledger: ledgerPostgres.layer.pipe(inDatabase),
    forget: Effect.ignore(Effect.provide(forgetRun, own))
  } satisfies Store as Store
})

/** Opens the store of a run once it has a folder. @param run its identity in the database @param begun it must be there already */
export type OpenStore = (folder: RunFolder, run: string, begun: boolean) => ReturnType<typeof sqlite> | ReturnType<typeof postgres>

/** Looks for the database before a new run has a folder. */
export const findStore = Effect.fnUntraced(function*(store: "sqlite" | "postgres") {
  if (store === "sqlite") return sqlite as OpenStore
  const server = yield* Layer.build(Postgres.layerConfig())
  return ((folder, run, begun) => postgres(server, folder, run, begun)) as OpenStore
})
