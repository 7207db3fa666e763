/**
 * Records each call that may have been charged, and how it ended. Without a store nothing is remembered; with one
 * (layers/store/ledger.ts) a resumed run knows what it has spent, and which calls its last process left in doubt.
 */
import { Context, Effect } from "effect"

export interface LedgerFailed {
  readonly message: string
}

export const Ledger = Context.Reference<{
  /** nano-USD that earlier processes of this run booked; a call in doubt counts as the most it can cost. */
  readonly spentBefore: Effect.Effect<number, LedgerFailed>
  /**
   * The highest charge of any call so far, per nano-USD of its estimate; 1 if none was charged more than its estimate.
   */
  readonly excessBefore: Effect.Effect<number, LedgerFailed>
  /**
   * Called before the call is sent.
   * @param worst nano-USD
   * @returns the call's number
   */
  readonly asked: (question: string, worst: number) => Effect.Effect<number, LedgerFailed>
  /**
   * @param cost nano-USD
   * @param rate the charge per nano-USD of the estimate
   */
  readonly ended: (call: number, cost: number, rate?: number) => Effect.Effect<void, LedgerFailed>
}>("vequinox/Ledger", {
  defaultValue: () => ({
    spentBefore: Effect.succeed(0),
    excessBefore: Effect.succeed(1),
    asked: () => Effect.succeed(0),
    ended: () => Effect.void
  })
})
