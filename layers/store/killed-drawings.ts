/** Killed drawings in the run's database: known to every process of the run. */
import { Effect, Layer, Schema } from "effect"
import { KillReason } from "../../src/domain.ts"
import { RendererUnavailable } from "../../src/stages/Renderer.ts"
import { type Killed, KilledDrawings } from "../../src/stages/KilledDrawings.ts"
import { RunDatabase, type RunDatabaseFailed } from "./run-database.ts"

const Row = Schema.Struct({ drawing: Schema.String, reason: KillReason, detail: Schema.String })
const decode = Schema.decodeUnknownSync(Schema.Array(Row))

/** The stored rows by their drawings. */
export const decodeKilled = (rows: unknown): Map<string, Killed> =>
  new Map(decode(rows).map(({ detail, drawing, reason }) => [drawing, { _tag: "Killed", reason, detail }]))

const unavailable = <A>(work: Effect.Effect<A, RunDatabaseFailed>) =>
  Effect.mapError(work, ({ message }) => new RendererUnavailable({ message }))

export const layer = Layer.effect(
  KilledDrawings,
  Effect.gen(function*() {
    const { read, together } = yield* RunDatabase
    const known = yield* unavailable(read((db) => decodeKilled(db.prepare("SELECT drawing, reason, detail FROM killed").all())))
    return KilledDrawings.of({
      recall: (hash) => Effect.sync(() => known.get(hash)),
      record: Effect.fnUntraced(function*(hash, killed) {
        const { detail, reason } = killed
        yield* unavailable(together((db) => void db.prepare("INSERT OR IGNORE INTO killed VALUES (?, ?, ?)").run(hash, reason, detail)))
        known.set(hash, killed)
      })
    })
  })
)
