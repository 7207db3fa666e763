/**
 * Keeps what was judged until it is trained, and bounds how stale it may be.
 *
 * Order: `put` of a rollout returns after the rollout is stored (durably, where the layer is durable); only then may
 * `take` hand out its lessons, once.
 */
import { Context, type Effect, Schema } from "effect"
import type { Lesson, Rollout } from "../domain.ts"

/** The store refused: disk full, file locked, database from another version. Nothing was half-written. */
export class BufferFailed extends Schema.TaggedError<BufferFailed>()("BufferFailed", {
  message: Schema.String
}) {}

export interface Taken {
  readonly lessons: ReadonlyArray<Lesson>
  /** Lessons that had become older than allowed and were dropped. */
  readonly stale: number
}

export class PreferenceBuffer extends Context.Service<PreferenceBuffer, {
  readonly put: (rollout: Rollout) => Effect.Effect<void, BufferFailed>
  /**
   * All untrained lessons of at most `maxStaleness` versions (lessons/staleness.ts), in the order they were put, each
   * weighted by `staleWeight ** age`; older ones are dropped and counted.
   */
  readonly take: (version: number) => Effect.Effect<Taken, BufferFailed>
}>()("vequinox/PreferenceBuffer") {}
