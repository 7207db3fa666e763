/** The store of a run in Postgres. */
import { Context, Effect, Layer } from "effect"
import * as bufferPostgres from "../../../layers/buffer/postgres.ts"
import { copyRun } from "../../../layers/postgres/copy-run.ts"
import * as judgmentsPostgres from "../../../layers/postgres/judgments.ts"
import * as killedDrawingsPostgres from "../../../layers/postgres/killed-drawings.ts"
import * as ledgerPostgres from "../../../layers/postgres/ledger.ts"
import { Postgres } from "../../../layers/postgres/postgres.ts"
import { forgetRun, RunPostgres } from "../../../layers/postgres/run-postgres.ts"
import * as runStatePostgres from "../../../layers/postgres/run-state.ts"
import { RunDatabase, RunDatabaseFailed } from "../../../layers/store/run-database.ts"
import type { RunFolder } from "../../run/folder.ts"
import type { Store } from "./store.ts"

/** A caller's own layer may want run.db. */
export const noDatabase = ({ path }: RunFolder) => {
  const refuse = () => Effect.fail(new RunDatabaseFailed({ message: `${path} has no run.db to work in: the run is kept in Postgres.` }))
  return RunDatabase.of({ transaction: refuse, together: refuse, read: refuse })
}

/** Connects, and gives what store.ts's `findStore` gives. */
export const findPostgres = Effect.map(Layer.build(Postgres.layerConfig()), (server) =>
  Effect.fnUntraced(function*(folder: RunFolder, run: string, begun: boolean) {
    const own = yield* Layer.build(RunPostgres.layerTrainer({ run, begun }).pipe(Layer.provideMerge(Layer.succeedContext(server))))
    const inDatabase = Layer.provide(Layer.succeedContext(own))
    return {
      services: Context.add(yield* Layer.build(runStatePostgres.layer.pipe(inDatabase)), RunDatabase, noDatabase(folder)),
      buffer: (options) => bufferPostgres.layerIn(options).pipe(inDatabase),
      judgments: judgmentsPostgres.layer.pipe(inDatabase),
      killedDrawings: killedDrawingsPostgres.layer.pipe(inDatabase),
      ledger: ledgerPostgres.layer.pipe(inDatabase),
      settle: Effect.provide(copyRun(folder.file("run.db")), own),
      forget: Effect.ignore(Effect.provide(forgetRun, own))
    } satisfies Store as Store
  }))
