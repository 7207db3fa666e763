/** Killed drawings in Postgres: known to every process of the run that begins later. */
import { Effect, Layer } from "effect"
import { RendererUnavailable } from "../../src/stages/Renderer.ts"
import { KilledDrawings } from "../../src/stages/KilledDrawings.ts"
import { decodeKilled } from "../store/killed-drawings.ts"
import type { PostgresFailed } from "./db.ts"
import { RunPostgres } from "./run-postgres.ts"

const unavailable = <A>(work: Effect.Effect<A, PostgresFailed>) => Effect.mapError(work, ({ message }) => new RendererUnavailable({ message }))

export const layer = Layer.effect(
  KilledDrawings,
  Effect.gen(function*() {
    const { read, transaction } = yield* RunPostgres
    const known = decodeKilled(yield* unavailable(read(({ rows, run }) => rows("SELECT drawing, reason, detail FROM killed WHERE run = $1", [run]))))
    return KilledDrawings.of({
      recall: (hash) => Effect.sync(() => known.get(hash)),
      record: Effect.fnUntraced(function*(hash, killed) {
        const { detail, reason } = killed
        yield* unavailable(transaction(({ rows, run }) =>
          rows("INSERT INTO killed VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", [run, hash, reason, detail])))
        known.set(hash, killed)
      })
    })
  })
)
