/**
 * What judges may spend. The most that a call can cost is set aside before the call; its real charge is booked when it
 * ends, even if it is more. Amounts are whole nano-USD, so sums are exact.
 *
 * If a call is charged more than its estimate, no further call is made that could pass the limit at that rate: every
 * estimate, also of calls under way, is multiplied by the highest charge so far per nano-USD of an estimate. Before the
 * first charge nothing is known about a server, so the first calls can be held to a share of the budget, or to one
 * call: whatever that call is charged, no other call is under way at the wrong price.
 */
import { Deferred, Effect, Schema } from "effect"

/** The next call could cost more than is left. */
export class BudgetSpent extends Schema.TaggedError<BudgetSpent>()("BudgetSpent", {
  message: Schema.String
}) {}

/**
 * Whole nano-USD, rounded up.
 * @param usd US dollars, >= 0
 */
export const nanoUsd = (usd: number): number => Math.ceil(usd * 1e9 - 1e-3)

export interface Budget {
  /** Runs a call with an estimated cost of at most `estimate` nano-USD, and books the cost that `cost` returns. */
  readonly spend: <A, E, R>(
    estimate: number,
    call: Effect.Effect<A, E, R>,
    cost: (exit: { readonly ok: A } | { readonly failed: E } | "interrupted") => number
  ) => Effect.Effect<A, E | BudgetSpent, R>
  /** nano-USD to set aside for an estimate, at the rate known now. */
  readonly atMost: (estimate: number) => number
  /** nano-USD booked so far. */
  readonly spent: Effect.Effect<number>
}

export interface BudgetOptions {
  /** The highest charge in an earlier part of the run, per nano-USD of an estimate. Default 1. */
  readonly excess?: number
  /**
   * The share of the remaining budget, in [0, 1], that calls may hold together until one was charged. One call is
   * always allowed: 0 is one at a time. Default 1.
   */
  readonly firstShare?: number
  /** A limit in US dollars that may sink while calls are made. Default: none. */
  readonly mostUsd?: () => number
}

/**
 * A call that does not fit beside the calls under way waits until one of them ends. A call that does not fit beside
 * what is booked fails with `BudgetSpent`.
 *
 * @param limitUsd US dollars; Infinity sets no limit
 * @param alreadyUsd booked by an earlier part of the run, US dollars
 */
export const makeBudget = (
  limitUsd: number,
  alreadyUsd = 0,
  { excess: before = 1, firstShare = 1, mostUsd = () => Infinity }: BudgetOptions = {}
): Budget => {
  const usd = () => Math.min(limitUsd, mostUsd())
  let booked = nanoUsd(alreadyUsd)
  let excess = Math.max(1, before)
  let known = limitUsd === Infinity
  /** Sum of the estimates of the calls under way. */
  let underWay = 0
  let calls = 0
  let settled = Deferred.makeUnsafe<void>()
  const atMost = (estimate: number) => Math.ceil(estimate * excess)

  const reserve = (estimate: number): Effect.Effect<void, BudgetSpent> =>
    Effect.suspend(() => {
      const limit = Math.floor(usd() * 1e9 + 1e-3)
      if (booked + atMost(estimate) > limit) {
        const left = (limit - booked) / 1e9
        return Effect.fail(
          new BudgetSpent({
            message: `The budget of $${usd()} has ${
              left < 0 ? `been passed by $${(-left).toFixed(6)}, for more was charged than was asked for` : `$${left.toFixed(6)} left`
            }, and the next judgment could cost $${(atMost(estimate) / 1e9).toFixed(6)}: raise --budget-usd to continue.`
          })
        )
      }
      const free = (limit - booked) * (known || calls === 0 ? 1 : firstShare)
      if (atMost(underWay + estimate) > free) {
        return Effect.andThen(Deferred.await(settled), reserve(estimate))
      }
      underWay += estimate
      calls++
      return Effect.void
    })
  const settle = (estimate: number, cost: number) =>
    Effect.sync(() => {
      underWay -= estimate
      calls--
      booked += cost
      known ||= cost > 0
      if (cost > atMost(estimate)) excess = cost / Math.max(1, estimate)
      const waiting = settled
      settled = Deferred.makeUnsafe<void>()
      Deferred.doneUnsafe(waiting, Effect.void)
    })

  return {
    spend: (estimate, call, cost) =>
      Effect.uninterruptibleMask((restore) =>
        restore(reserve(estimate)).pipe(
          Effect.andThen(restore(call).pipe(
            Effect.tap((ok) => settle(estimate, cost({ ok }))),
            Effect.tapError((failed) => settle(estimate, cost({ failed }))),
            Effect.onInterrupt(() => settle(estimate, cost("interrupted")))
          ))
        )
      ),
    atMost,
    spent: Effect.sync(() => booked)
  }
}
