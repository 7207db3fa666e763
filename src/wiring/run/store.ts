/**
 * Where a run keeps its state, judgments, lessons and paid calls: run.db in its folder, or among other runs in the Postgres
 * database that DATABASE_URL names (store-postgres.ts).
 */
import { type Context, Effect, Layer } from "effect"
import * as bufferSqlite from "../../../layers/buffer/sqlite.ts"
import type { PostgresFailed } from "../../../layers/postgres/db.ts"
import * as judgmentsSqlite from "../../../layers/store/judgments.ts"
import * as killedDrawingsSqlite from "../../../layers/store/killed-drawings.ts"
import * as ledgerSqlite from "../../../layers/store/ledger.ts"
import { RunDatabase, type RunDatabaseFailed } from "../../../layers/store/run-database.ts"
import * as runStateSqlite from "../../../layers/store/run-state.ts"
import type { StalenessOptions } from "../../lessons/staleness.ts"
import type { RunFolder } from "../../run/folder.ts"
import type { KilledDrawings } from "../../stages/KilledDrawings.ts"
import type { BufferFailed, PreferenceBuffer } from "../../stages/PreferenceBuffer.ts"
import type { RendererUnavailable } from "../../stages/Renderer.ts"
import type { RunState } from "../../stages/RunState.ts"
import type { FileProblem } from "../../system/files.ts"
import type { TrainConfig } from "../settings.ts"

export interface Store {
  /** RunDatabase refuses everything where there is no run.db. */
  readonly services: Context.Context<RunDatabase | RunState>
  readonly buffer: (options: StalenessOptions) => Layer.Layer<PreferenceBuffer, BufferFailed>
  readonly judgments: Layer.Layer<never>
  readonly killedDrawings: Layer.Layer<KilledDrawings, RendererUnavailable>
  readonly ledger: Layer.Layer<never>
  /** Leaves in the folder what commands read that look at a run: run.db. Called before the run is called finished. */
  readonly settle: Effect.Effect<void, PostgresFailed | RunDatabaseFailed | FileProblem>
  /** Removes what the run has outside of its folder: it failed before it was under way. */
  readonly forget: Effect.Effect<void>
}

const sqlite = Effect.fnUntraced(function*(folder: RunFolder) {
  const services = yield* Layer.build(runStateSqlite.layer.pipe(Layer.provideMerge(RunDatabase.layer({ path: folder.file("run.db") }))))
  const inDatabase = Layer.provide(Layer.succeedContext(services))
  return {
    services,
    buffer: (options) => bufferSqlite.layerIn(options).pipe(inDatabase),
    judgments: judgmentsSqlite.layer.pipe(inDatabase),
    killedDrawings: killedDrawingsSqlite.layer.pipe(inDatabase),
    ledger: ledgerSqlite.layer.pipe(inDatabase),
    settle: Effect.void,
    forget: Effect.void
  } satisfies Store as Store
})

/**
 * Looks for the database before a new run has a folder. The returned function opens the run's store once it has one.
 *
 * @returns a function of the folder, of the run's identity in the database, and of whether it must be there already
 */
export const findStore = Effect.fnUntraced(function*(store: TrainConfig["store"]) {
  if (store === "sqlite") return (folder: RunFolder, _run: string, _begun: boolean) => sqlite(folder)
  // Loaded here alone: other runs need not wait for a client of Postgres.
  const { findPostgres } = yield* Effect.promise(() => import("./store-postgres.ts"))
  return yield* findPostgres
})
