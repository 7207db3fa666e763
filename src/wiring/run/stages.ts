/** Which layer fills which box of the map: the usual ones as the settings say, or the caller's own. */
import * as path from "node:path"
import { Effect, Layer } from "effect"
import * as bufferSqlite from "../../../layers/buffer/sqlite.ts"
import * as optimizerOnnx from "../../../layers/optimizer/onnx.ts"
import * as optimizerTinker from "../../../layers/optimizer/tinker.ts"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import * as judgmentsSqlite from "../../../layers/store/judgments.ts"
import * as killedDrawingsSqlite from "../../../layers/store/killed-drawings.ts"
import * as ledgerSqlite from "../../../layers/store/ledger.ts"
import type { Parameters } from "../../engine/weights/tensor.ts"
import type { Judge } from "../../stages/Judge.ts"
import { Policy, type PolicySnapshot } from "../../stages/Policy.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import { type PlacedLayers, put, type RunServices, type RunStart, type StageFailure } from "./own-layers.ts"
import { samplerOf } from "./sampler.ts"
import { type OnServer, serverName } from "./tinker.ts"

export interface StageParts extends RunStart {
  /** The parameters that a reference with an adapter, or one that moves, begins with; undefined if it is the base. */
  readonly reference: Parameters | undefined
  /** Versions before the state's that drawings may still be drawn from, oldest first. */
  readonly earlier: ReadonlyArray<PolicySnapshot> | undefined
  readonly judge: Layer.Layer<Judge, StageFailure, RunServices>
  /** Where the run is trained, if not on this machine. */
  readonly server: OnServer | undefined
  readonly style: ProgressStyle
  /** Tells a person what must not be missed. */
  readonly say: (line: string) => Effect.Effect<void>
}

const optimizer = ({ checkpoint, lora, reference, server, settings: c, state }: StageParts) =>
  server === undefined
    ? optimizerOnnx.layer({ checkpoint, lora, initial: state, reference, ...optimizerOf(c) })
    : optimizerTinker.layer({ ...server, initial: state, name: serverName(path.basename(c.output_dir)), ...optimizerOf(c) })

/** Needs the runtime and the run's database. */
export const stagesOf = Effect.fnUntraced(function*(parts: StageParts, own: PlacedLayers) {
  const { earlier, judge, settings: c, state } = parts
  return Layer.mergeAll(
    // The optimizer comes first: the sampler takes what memory is left.
    put(own.optimizer, optimizer(parts), parts),
    put(own.sampler, yield* samplerOf(parts), parts),
    put(own.renderer, rendererResvg.layer({ size: c.render_size }), parts).pipe(Layer.provide(killedDrawingsSqlite.layer)),
    put(own.judge, judge, parts).pipe(Layer.provide(ledgerSqlite.layer)),
    judgmentsSqlite.layer,
    put(own.buffer, bufferSqlite.layerIn({ maxStaleness: c.max_staleness, staleWeight: c.stale_weight }), parts),
    Policy.layer({ version: state.version, parameters: state.parameters }, c.max_staleness + 1, earlier)
  )
})
