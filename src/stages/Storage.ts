/**
 * Where a run's folder is kept besides its own disk. Nothing here changes a run or waits for a store, except `finished`.
 * Without a layer nothing is kept elsewhere.
 */
import { Context, Effect } from "effect"
import type { StorageFailed } from "./ObjectStore.ts"

export interface Storing {
  /** A checkpoint was committed: the folder as it is now is copied in the background. Returns at once. */
  readonly committed: Effect.Effect<void>
  /** For the next line of metrics.jsonl; those that are 0 are left out. */
  readonly metrics: Effect.Effect<Readonly<Record<string, number>>>
  /** Waits until the finished folder is copied whole. Fails where the store stays away. */
  readonly finished: Effect.Effect<void, StorageFailed>
}

export const unstored: Storing = { committed: Effect.void, metrics: Effect.succeed({}), finished: Effect.void }

export const Storage = Context.Reference<Storing>("vequinox/Storage", { defaultValue: () => unstored })

/** Copies that failed and were tried again: a metric of metrics.jsonl and a fault of summary.json. */
export const failedMetric = "storage/failed"
/** Committed checkpoints that are newer than the copy. */
export const behindMetric = "storage/behind"
