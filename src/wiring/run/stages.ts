/** Which layer fills which box of the map: the usual ones as the settings say, or the caller's own. */
import { Effect, Layer } from "effect"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import type { Parameters } from "../../engine/weights/tensor.ts"
import type { Base } from "../../model/adapter.ts"
import type { RunFolder } from "../../run/folder.ts"
import type { Judge } from "../../stages/Judge.ts"
import { Policy, type PolicySnapshot } from "../../stages/Policy.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { optimizerLayer } from "./optimizer.ts"
import { type PlacedLayers, put, replaces, type RunServices, type RunStart, type StageFailure } from "./own-layers.ts"
import { samplerOf } from "./sampler.ts"
import type { Store } from "./store.ts"
import type { OnServer } from "./tinker.ts"

export interface StageParts extends RunStart {
  readonly run: RunFolder
  /** The same for every process of this run, and for no other run. */
  readonly id: string
  readonly base: Base
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

/** Needs the runtime. */
export const stagesOf = Effect.fnUntraced(function*(parts: StageParts, own: PlacedLayers, store: Store) {
  const { earlier, judge, settings: c, state } = parts
  return Layer.mergeAll(
    // The optimizer comes first: the sampler takes what memory is left.
    replaces(own.optimizer) ? own.optimizer : put(own.optimizer, yield* optimizerLayer(parts), parts),
    replaces(own.sampler) ? own.sampler : put(own.sampler, yield* samplerOf(parts), parts),
    put(own.renderer, rendererResvg.layer({ size: c.render_size }), parts).pipe(Layer.provide(store.killedDrawings)),
    put(own.judge, judge, parts).pipe(Layer.provide(store.ledger)),
    store.judgments,
    put(own.buffer, store.buffer({ maxStaleness: c.max_staleness, staleWeight: c.stale_weight }), parts),
    Policy.layer({ version: state.version, parameters: state.parameters }, c.max_staleness + 1, earlier)
  )
})
