/**
 * A cluster that runs jobs which are not ours, and where a job's files lie. An implementation makes one call at a time, tells
 * "later perhaps" (`JobBusy`) from "never" (`JobRefused`), and never asks again by itself: round.ts does.
 */
import { type Effect, Schema } from "effect"

/** No answer now, but there may be one later: rate limit, overload, a lost connection, a deadline. No full stop. */
export class JobBusy extends Schema.TaggedError<JobBusy>()("JobBusy", {
  message: Schema.String,
  /** False if there was no connection at all. */
  reached: Schema.Boolean,
  /** Seconds that the cluster asked us to wait, 0 if it did not say. */
  retryAfter: Schema.Finite
}) {}

/** Asking again does not help; the message says what to do. */
export class JobRefused extends Schema.TaggedError<JobRefused>()("JobRefused", {
  message: Schema.String,
  /** Of HTTP; 0 if there was none. */
  status: Schema.Int
}) {}

/** The job ended without a result. */
export class JobFailed extends Schema.TaggedError<JobFailed>()("JobFailed", {
  message: Schema.String,
  job: Schema.String,
  /** The last lines of its log, oldest first. */
  log: Schema.Array(Schema.String)
}) {}

export type JobError = JobBusy | JobRefused

export interface JobState {
  /** `leaving`: it is being removed, after which its name is free. */
  readonly status: "waiting" | "running" | "succeeded" | "failed" | "stopped" | "leaving"
  /** The cluster's words, one line; may be empty. */
  readonly message: string
}

/** What a cluster is asked to run. */
export interface JobSpec {
  /** Names the job: the same for the same work. Letters, digits and hyphens, at most 40, a letter first. */
  readonly id: string
  /** Program and arguments; no shell reads them. */
  readonly command: ReadonlyArray<string>
}

export interface JobCluster {
  /** For people: "Ray at http://127.0.0.1:8265". */
  readonly name: string
  /** The newest job of this id; undefined if there is none. */
  readonly find: (id: string) => Effect.Effect<JobState | undefined, JobError>
  /** Starts it. One that is there already is refused, or, where ids are not the cluster's own, started twice: `find` first. */
  readonly start: (spec: JobSpec) => Effect.Effect<void, JobError>
  /** Forgets a job that has ended, or that cannot begin, so that its id is free. */
  readonly remove: (id: string) => Effect.Effect<void, JobError>
  readonly stop: (id: string) => Effect.Effect<void, JobError>
  /** Lines of its log so far, a stranger's text. */
  readonly log: (id: string) => Effect.Effect<ReadonlyArray<string>, JobError>
  /** How a person stops it by hand: a command or an address. */
  readonly byHand: (id: string) => string
}

/** What the job reads: the paths as the job sees them. */
export interface JobPaths {
  readonly model: string
  readonly revision: string | undefined
  /** Folder of `train.jsonl`. */
  readonly rows: string
  /** Checkpoint folder of transformers' Trainer: the adapter, and `trainer_state.json` at step 0. */
  readonly start: string
  readonly output: string
}

/** Carries a job's files there and back. */
export interface JobFiles {
  /** Paths that a job of this id will see. */
  readonly paths: (id: string) => JobPaths
  /** What runs it: the given command, with what must happen before and after it. */
  readonly wrap: (id: string, command: ReadonlyArray<string>, checkpoint: string) => ReadonlyArray<string>
  /** Puts the folder's files (`rows/train.jsonl`, `start/...`) where the job reads them; idempotent. */
  readonly put: (id: string) => Effect.Effect<void, JobError>
  /** Where a job's result lies, for people. */
  readonly where: (id: string) => string
  /** Where a round's files are made on this machine. */
  readonly folder: (id: string) => string
  /**
   * A file of the result, undefined while it is not there; over `most` bytes it is refused.
   * @param checkpoint name of the folder under `output`
   */
  readonly get: (id: string, checkpoint: string, name: string, most: number) => Effect.Effect<Uint8Array | undefined, JobError>
}
