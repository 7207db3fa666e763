/**
 * What became of each call that may have been charged. Without a store nothing is remembered; with one
 * (layers/store/ledger.ts) a resumed run knows what it has spent, and which calls its last process left in doubt.
 */
import { Context, Effect } from "effect"

export interface LedgerFailed {
  readonly message: string
}

export const Ledger = Context.Reference<{
  /** nano-USD booked by earlier processes of this run, calls in doubt at the most that they can cost. */
  readonly spentBefore: Effect.Effect<number, LedgerFailed>
  /** The most that a call was charged for each nano-USD of its estimate, 1 where none was charged more. */
  readonly excessBefore: Effect.Effect<number, LedgerFailed>
  /** Before it is sent. @param worst nano-USD @returns its name */
  readonly asked: (question: string, worst: number) => Effect.Effect<number, LedgerFailed>
  /** @param cost nano-USD @param rate what that is for each nano-USD of its estimate */
  readonly ended: (call: number, cost: number, rate?: number) => Effect.Effect<void, LedgerFailed>
}>("vequinox/Ledger", {
  defaultValue: () => ({
    spentBefore: Effect.succeed(0),
    excessBefore: Effect.succeed(1),
    asked: () => Effect.succeed(0),
    ended: () => Effect.void
  })
})
