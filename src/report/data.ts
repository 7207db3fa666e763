/** The data of a report. */
import type { Evaluated } from "../evaluation/measures.ts"
import type { Summary } from "../run/summary.ts"

export interface DrawingView {
  /** `undefined`: it did not render. */
  readonly png: Uint8Array | undefined
  /** `rendered`, or why not: `rejected: malformed`. */
  readonly outcome: string
  readonly score: number | undefined
  /** Undefined: the prompt has no right and wrong. */
  readonly right: boolean | undefined
}

/** The greedy drawings of a held-out prompt. */
export interface Example {
  readonly prompt: string
  readonly before: DrawingView
  readonly after: DrawingView
  /** The better drawing by the first scorer that can tell. */
  readonly verdict: "before" | "after" | "tie"
}

/** One line of metrics.jsonl. */
export type MetricsRow = Readonly<Record<string, number>>

/** The summary; an unfinished run lacks what is measured at its end. */
export type ReportSummary = Omit<Summary, keyof Evaluated> & Partial<Evaluated>

export interface ReportData {
  readonly title: string
  /** The command that made this run, as typed. */
  readonly command: string
  readonly summary: ReportSummary
  readonly metrics: ReadonlyArray<MetricsRow>
  readonly examples: ReadonlyArray<Example>
  readonly config: Readonly<Record<string, unknown>>
  /** False if the run was stopped, or is still running. */
  readonly finished: boolean
}
