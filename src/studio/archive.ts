/** What the studio reads of a run's store. Another process may be writing it; nothing of it is changed. */
import { Context, type Effect } from "effect"
import type { StoredReport } from "../stages/RunState.ts"
import type { FileProblem } from "../system/files.ts"
import type { Overview, Rollout, RolloutRow } from "./api.ts"

/** A drawing by its place. */
export interface Place {
  readonly step: number
  readonly promptId: string
  readonly index: number
}

/** Which rollouts are wanted; `undefined` leaves none out. */
export interface Wanted {
  /** Part of a prompt, in any case. */
  readonly prompt?: string | undefined
  /** `rendered`, or the gate's or the renderer's reason. */
  readonly reason?: string | undefined
  /** At least one pair of that verdict; `unjudged`: no pair. */
  readonly verdict?: "won" | "lost" | "tied" | "failed" | "unjudged" | undefined
  readonly from?: number | undefined
  readonly to?: number | undefined
  /** The page begins behind this one. */
  readonly after?: Place | undefined
  readonly limit: number
}

export interface Counts {
  readonly drawings: number
  readonly pairs: number
  readonly faults: (typeof Overview.Type)["faults"]
}

export interface Extent {
  /** Steps with a report. */
  readonly steps: number
  readonly firstStep: number | null
  readonly lastStep: number | null
  /** Wall clock until the newest checkpoint, seconds, and the steps that it covers. */
  readonly timed: { readonly steps: number; readonly seconds: number }
  /** What paid calls have cost at most, US dollars. */
  readonly usd: number
  readonly byJudge: (typeof Overview.Type)["cost"]["byJudge"]
}

/** Runs are named by the whole path of their folder. Every call fails if the store cannot be read. */
export class Archive extends Context.Service<Archive, {
  /** Whether a process works on the run now. */
  readonly isWorked: (run: string) => boolean
  readonly extent: (run: string) => Effect.Effect<Extent, FileProblem>
  readonly counts: (run: string) => Effect.Effect<Counts, FileProblem>
  /** Oldest first. @param step that comes before them; -1 for the first ones @param most reports */
  readonly reportsAfter: (run: string, step: number, most: number) => Effect.Effect<ReadonlyArray<StoredReport>, FileProblem>
  /** Newest step first. */
  readonly rollouts: (run: string, wanted: Wanted) => Effect.Effect<ReadonlyArray<typeof RolloutRow.Type>, FileProblem>
  /** Undefined if there is no such drawing. Its tokens have no text. */
  readonly rollout: (run: string, place: Place) => Effect.Effect<typeof Rollout.Type | undefined, FileProblem>
  /** Undefined if there is no such drawing. */
  readonly drawing: (run: string, place: Place) => Effect.Effect<{ readonly prompt: string; readonly svg: string } | undefined, FileProblem>
}>()("vequinox/studio/Archive") {}
