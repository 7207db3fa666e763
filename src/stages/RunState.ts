/**
 * What a run must remember to go on after it was stopped at any instant: its checkpoints, its reports, its faults. What is
 * written here is durable when the effect returns.
 *
 * Order: a checkpoint's files are on disk before `commit`; only `commit` makes the steps before it the past. Whatever else
 * is known of later steps is provisional, but for judgments, and `rewind` takes it back.
 */
import { Context, type Effect, Schema } from "effect"
import type { Agreement, StepReport } from "../domain.ts"

/** The store refused: disk full, damaged, from another version. Nothing was half-written. */
export class RunStateFailed extends Schema.TaggedError<RunStateFailed>()("RunStateFailed", {
  message: Schema.String
}) {}

export interface CommittedCheckpoint {
  /** Steps that were trained: the version of its parameters. */
  readonly step: number
  /** Of its state.json, which names the hashes of its other files; hex. */
  readonly sha256: string
  /** Wall clock that the run had taken by then. */
  readonly seconds: number
}

export interface StoredReport extends StepReport {
  readonly trust: ReadonlyArray<Agreement>
}

/** A line of preferences.jsonl, as it is stored. */
export interface StoredPreference {
  readonly step: number
  readonly policyVersion: number
  readonly prompt: string
  readonly chosen: string
  readonly rejected: string
  readonly judge: string
  readonly confidence: number
  readonly label: number
  readonly weight: number
}

export class RunState extends Context.Service<RunState, {
  /** Newest first. */
  readonly checkpoints: Effect.Effect<ReadonlyArray<CommittedCheckpoint>, RunStateFailed>
  /**
   * Goes back to the checkpoint of this step, 0 being the beginning: later checkpoints, reports and rollouts are
   * forgotten, what they trained is untrained, and calls of judges that have no end are in doubt.
   */
  readonly rewind: (step: number) => Effect.Effect<void, RunStateFailed>
  /** The pairs that the steps before it trained, and what they cost, are settled with it. @param pruned steps of checkpoints that are forgotten */
  readonly commit: (checkpoint: CommittedCheckpoint, pruned: ReadonlyArray<number>) => Effect.Effect<void, RunStateFailed>
  /** Judgments of this step and later ones that failed are asked for again. Those of earlier steps are the past. */
  readonly forgetFailures: (step: number) => Effect.Effect<void, RunStateFailed>
  readonly report: (report: StoredReport) => Effect.Effect<void, RunStateFailed>
  /** In the order of steps. */
  readonly reports: Effect.Effect<ReadonlyArray<StoredReport>, RunStateFailed>
  /** In the order in which they were put. */
  readonly eachPreference: (use: (preference: StoredPreference) => void) => Effect.Effect<void, RunStateFailed>
  readonly count: (fault: string) => Effect.Effect<void, RunStateFailed>
  readonly faults: Effect.Effect<Readonly<Record<string, number>>, RunStateFailed>
  /** US dollars of all calls that may have been charged; undefined where none was made. */
  readonly costUsd: Effect.Effect<number | undefined, RunStateFailed>
  /** Steps after which the run was finished, report and all. */
  readonly finished: Effect.Effect<number | undefined, RunStateFailed>
  readonly finish: (steps: number) => Effect.Effect<void, RunStateFailed>
}>()("vequinox/RunState") {}
