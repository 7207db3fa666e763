import type { Alarm } from "../domain.ts"
import type { WinRate } from "../evaluation/held-out.ts"

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
  /** Tokens a held-out drawing. */
  readonly length: { readonly before: number; readonly after: number }
  readonly costUsd: number
  /** Everything that went wrong and was survived, counted. */
  readonly faults: Readonly<Record<string, number>>
  /** What a person should look into, with the step at which it was seen. */
  readonly alarms: ReadonlyArray<Alarm>
}
