/**
 * Where a run's numbers are told besides its own folder: an event file, a server, a table. No tracker changes a run:
 * nothing here fails, nothing waits for a file or a server except `end`, and that for a few seconds at most. What a
 * tracker could not take is dropped and counted. Without a layer nothing is told.
 */
import { Context, Effect } from "effect"

/** One drawing of a step, for tables. */
export interface CompletionRow {
  readonly prompt: string
  /** Prefill and completion as text. */
  readonly completion: string
  /** By the judge's name: the share of its comparisons that it won, or the judge's score. Empty without an answer. */
  readonly rewards: Readonly<Record<string, number>>
  /** Undefined where the objective does not learn from advantages, or the drawing has none. */
  readonly advantage: number | undefined
  /** `rendered`, or why not: the gate's or the renderer's reason. */
  readonly outcome: string
  /** Sampled tokens. */
  readonly tokens: number
  readonly policyVersion: number
}

export interface TrackedStep {
  /**
   * `end` is what was measured after the last step; its `step` is the number of steps made. `again` is a step of an
   * earlier process of the run, which may have been killed before it told it; its time is not its own.
   */
  readonly kind: "step" | "again" | "end"
  readonly step: number
  /** Milliseconds since 1970. */
  readonly time: number
  /** Finite, under the names of metrics.jsonl. */
  readonly metrics: Readonly<Record<string, number>>
  /** Made only if a table wants them. */
  readonly completions: () => ReadonlyArray<CompletionRow>
}

/** Its numbers without the step itself, which every tracker has a place of its own for. */
export const numbersOf = ({ metrics }: TrackedStep): Readonly<Record<string, number>> => {
  const { step: _, ...numbers } = metrics
  return numbers
}

/** Most steps that a resumed run tells again. */
export const mostAgain = 256

export interface Tracking {
  /** Hands a step over. Returns at once. */
  readonly step: (step: TrackedStep) => Effect.Effect<void>
  /** By tracker, what it dropped since this was last asked; only those that dropped anything. */
  readonly dropped: Effect.Effect<Readonly<Record<string, number>>>
  /** The run's work, with what a tracker wants to see of it while it goes on. */
  readonly around: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Sends what is still waiting, for at most `closing`; then drops it. A second call does nothing. */
  readonly end: Effect.Effect<void>
}

export const untracked: Tracking = {
  step: () => Effect.void,
  dropped: Effect.succeed({}),
  around: (work) => work,
  end: Effect.void
}

export const Tracker = Context.Reference<Tracking>("vequinox/Tracker", { defaultValue: () => untracked })

/** `tracker/NAME/dropped`: a metric of metrics.jsonl and a fault of summary.json. */
export const droppedMetric = (name: string): string => `tracker/${name}/dropped`
