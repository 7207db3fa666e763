/**
 * What a run must remember so that it can continue after a stop at any instant: its checkpoints, its reports, its
 * faults. What is written here is durable when the effect returns.
 *
 * Order: a checkpoint's files are on disk before `commit`, and only `commit` makes the steps before it final.
 * Everything stored about later steps, except judgments, is provisional: `rewind` removes it.
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
  /** Hash of its state.json, which names the hashes of its other files; hex. */
  readonly sha256: string
  /** Wall-clock seconds that the run had taken by then. */
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
   * Goes back to the checkpoint of this step; 0 is the beginning. Later checkpoints, reports and rollouts are
   * forgotten, the lessons they trained count as untrained again, and judge calls without an end are in doubt.
   */
  readonly rewind: (step: number) => Effect.Effect<void, RunStateFailed>
  /**
   * Also makes the training and the costs of the steps before it final.
   * @param pruned steps of checkpoints that are forgotten
   */
  readonly commit: (checkpoint: CommittedCheckpoint, pruned: ReadonlyArray<number>) => Effect.Effect<void, RunStateFailed>
  /** Failed judgments of this step and later ones are asked for again; those of earlier steps stay as they are. */
  readonly forgetFailures: (step: number) => Effect.Effect<void, RunStateFailed>
  readonly report: (report: StoredReport) => Effect.Effect<void, RunStateFailed>
  /** In the order of steps. */
  readonly reports: Effect.Effect<ReadonlyArray<StoredReport>, RunStateFailed>
  /** In the order in which they were put. */
  readonly eachPreference: (use: (preference: StoredPreference) => void) => Effect.Effect<void, RunStateFailed>
  /**
   * Tokens of the candidates of rollouts before this step: the newest rollouts first, in each by prompt id and index; about as
   * many as have `tokens` tokens together. Once policy version `step` is published, the answer is always the same: those
   * rollouts were stored before it was (pipeline.ts, rule 2), and a resumed run that makes them again makes the same.
   */
  readonly completionsBefore: (step: number, tokens: number) => Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, RunStateFailed>
  readonly count: (fault: string) => Effect.Effect<void, RunStateFailed>
  readonly faults: Effect.Effect<Readonly<Record<string, number>>, RunStateFailed>
  /** US dollars of all calls that may have been charged; undefined where none was made. */
  readonly costUsd: Effect.Effect<number | undefined, RunStateFailed>
  /** How many steps the run had when it finished, its report included. */
  readonly finished: Effect.Effect<number | undefined, RunStateFailed>
  readonly finish: (steps: number) => Effect.Effect<void, RunStateFailed>
}>()("vequinox/RunState") {}
