/**
 * What judges may spend. The worst that a call can cost is set aside before it is made and settled when it has ended, so
 * the limit holds however many calls are under way. Amounts are whole nano-USD: sums are exact.
 */
import { Deferred, Effect, Schema } from "effect"

/** The next call could cost more than is left. */
export class BudgetSpent extends Schema.TaggedError<BudgetSpent>()("BudgetSpent", {
  message: Schema.String
}) {}

/** Whole nano-USD, rounded up. @param usd US dollars, >= 0 */
export const nanoUsd = (usd: number): number => Math.ceil(usd * 1e9 - 1e-3)

export interface Budget {
  /** Runs a call that costs at most `worst` nano-USD, and books what `cost` says it came to. */
  readonly spend: <A, E, R>(
    worst: number,
    call: Effect.Effect<A, E, R>,
    cost: (exit: { readonly ok: A } | { readonly failed: E } | "interrupted") => number
  ) => Effect.Effect<A, E | BudgetSpent, R>
  /** nano-USD booked so far. */
  readonly spent: Effect.Effect<number>
}

/**
 * A call that does not fit beside those under way waits for one of them to end; one that does not fit beside what is
 * booked fails with `BudgetSpent`.
 *
 * @param limitUsd US dollars; Infinity sets no limit
 * @param alreadyUsd booked by an earlier part of the run, US dollars
 */
export const makeBudget = (limitUsd: number, alreadyUsd = 0): Budget => {
  const limit = Math.floor(limitUsd * 1e9 + 1e-3)
  let booked = nanoUsd(alreadyUsd)
  let reserved = 0
  let settled = Deferred.makeUnsafe<void>()

  const reserve = (worst: number): Effect.Effect<void, BudgetSpent> =>
    Effect.suspend(() => {
      if (booked + worst > limit) {
        return Effect.fail(
          new BudgetSpent({
            message: `The budget of $${limitUsd} has $${((limit - booked) / 1e9).toFixed(6)} left, and the next judgment could cost $${
              (worst / 1e9).toFixed(6)
            }: raise --budget-usd to go on.`
          })
        )
      }
      if (booked + reserved + worst > limit) return Effect.andThen(Deferred.await(settled), reserve(worst))
      reserved += worst
      return Effect.void
    })
  const settle = (worst: number, cost: number) =>
    Effect.sync(() => {
      reserved -= worst
      booked += Math.min(worst, cost)
      const waiting = settled
      settled = Deferred.makeUnsafe<void>()
      Deferred.doneUnsafe(waiting, Effect.void)
    })

  return {
    spend: (worst, call, cost) =>
      Effect.uninterruptibleMask((restore) =>
        restore(reserve(worst)).pipe(
          Effect.andThen(restore(call).pipe(
            Effect.tap((ok) => settle(worst, cost({ ok }))),
            Effect.tapError((failed) => settle(worst, cost({ failed }))),
            Effect.onInterrupt(() => settle(worst, cost("interrupted")))
          ))
        )
      ),
    spent: Effect.sync(() => booked)
  }
}
