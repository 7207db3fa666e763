import type { WinRate } from "./evaluation.ts"

/** summary.json. */
export interface Summary {
  readonly steps: number
  /** Preference pairs trained. */
  readonly pairs: number
  /** Wall clock, evaluation included. */
  readonly seconds: number
  readonly winRate: WinRate
  /** The same drawings by the other scorers. */
  readonly otherWinRates: ReadonlyArray<WinRate>
  readonly validity: { readonly before: number; readonly after: number }
  readonly diversity: { readonly before: number; readonly after: number }
  readonly costUsd: number
  /** Everything that went wrong and was survived, counted. */
  readonly faults: Readonly<Record<string, number>>
}
