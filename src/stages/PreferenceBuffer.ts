/**
 * Keeps judged rollouts until their lessons are trained, and limits how stale a lesson may be.
 *
 * Order: `put` returns after the rollout is stored (durably, if the layer is durable); only then may `take` hand out
 * its lessons, each once.
 */
import { Context, type Effect, Schema } from "effect"
import type { Lesson, Rollout } from "../domain.ts"

/** The store refused: disk full, file locked, database from another version. Nothing was half-written. */
export class BufferFailed extends Schema.TaggedError<BufferFailed>()("BufferFailed", {
  message: Schema.String
}) {}

export interface Taken {
  readonly lessons: ReadonlyArray<Lesson>
  /** Lessons that were dropped because they had become older than allowed. */
  readonly stale: number
}

export class PreferenceBuffer extends Context.Service<PreferenceBuffer, {
  readonly put: (rollout: Rollout) => Effect.Effect<void, BufferFailed>
  /**
   * All untrained lessons that are at most `maxStaleness` versions old (lessons/staleness.ts), in the order they were
   * put, each weighted by `staleWeight ** age`. Older ones are dropped and counted, and so are those drawn from a
   * version that is `discarded`, because the run went back to an earlier one (steps/step-back.ts).
   */
  readonly take: (version: number, discarded?: (version: number) => boolean) => Effect.Effect<Taken, BufferFailed>
}>()("vequinox/PreferenceBuffer") {}
