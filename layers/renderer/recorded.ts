/**
 * A renderer whose killed drawings are recorded in the run's database. Whether a drawing meets its deadline depends on how
 * busy the machine is, so a resumed run must not find out again.
 */
import { createHash } from "node:crypto"
import { Effect, Layer, Schema } from "effect"
import { KillReason, type Rendering } from "../../src/domain.ts"
import { Renderer, RendererUnavailable, type RenderOptions } from "../../src/stages/Renderer.ts"
import { RunDatabase, type RunDatabaseFailed } from "../store/run-database.ts"

const Row = Schema.Struct({ drawing: Schema.String, reason: KillReason, detail: Schema.String })
const decode = Schema.decodeUnknownSync(Schema.Array(Row))

const unavailable = <A>(work: Effect.Effect<A, RunDatabaseFailed>) =>
  Effect.mapError(work, ({ message }) => new RendererUnavailable({ message }))

/** Needs the renderer that it records. */
export const layer = Layer.effect(
  Renderer,
  Effect.gen(function*() {
    const renderer = yield* Renderer
    const { read, together } = yield* RunDatabase
    const rows = yield* unavailable(read((db) => decode(db.prepare("SELECT drawing, reason, detail FROM killed").all())))
    const killed = new Map(rows.map(({ detail, drawing, reason }) => [drawing, { _tag: "Killed", reason, detail } satisfies Rendering as Rendering]))
    const render = Effect.fnUntraced(function*(svg: string, options: RenderOptions = {}) {
      const drawing = createHash("sha256").update(JSON.stringify([svg, options.allowText ?? false])).digest("hex")
      const known = killed.get(drawing)
      if (known !== undefined) return known
      const rendering = yield* renderer.render(svg, options)
      if (rendering._tag === "Killed") {
        const { detail, reason } = rendering
        yield* unavailable(together((db) => void db.prepare("INSERT OR IGNORE INTO killed VALUES (?, ?, ?)").run(drawing, reason, detail)))
        killed.set(drawing, rendering)
      }
      return rendering
    })
    return Renderer.of({ ...renderer, render })
  })
)
