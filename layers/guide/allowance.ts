/**
 * How much may be asked of the API now: requests and tokens a minute, and calls at the same time.
 *
 * The server refills its buckets continuously; ours mirror them. Before the first answer the limit is unknown, so calls
 * start two at a time and double with every round of successes (as TCP's slow start), until the server's headers or its
 * first refusal (429 or 529) show the limit. Then they grow by four a round. After a refusal, calls wait as long as it
 * says. Only if more than a quarter of the last calls were refused is the width too large, and then it shrinks by a
 * quarter (AIMD, Chiu & Jain 1989, with CUBIC's gentler cut: a server that refuses at random must not starve us).
 */
import { Clock, Deferred, Effect, Semaphore } from "effect"

/** What one call takes, estimated or measured. */
export interface Use {
  readonly inputTokens: number
  readonly outputTokens: number
}

/**
 * Limits and remaining amounts from the server's `anthropic-ratelimit-*` headers; absent if the server does not send
 * them.
 */
export interface RateHeaders {
  readonly requests?: { readonly limit: number; readonly remaining: number }
  readonly inputTokens?: { readonly limit: number; readonly remaining: number }
  readonly outputTokens?: { readonly limit: number; readonly remaining: number }
}

/** How a call ended: answered, told to slow down (for `seconds`, if it said so), or neither. */
export type Ended =
  | { readonly _tag: "Answered"; readonly use: Use; readonly headers: RateHeaders }
  | { readonly _tag: "Slow"; readonly seconds: number; readonly headers: RateHeaders }
  | { readonly _tag: "Lost" }

export interface AllowanceOptions {
  /** Most calls at the same time. */
  readonly concurrency: number
  /** Limits a minute from the user's settings, known before the server says any. */
  readonly requests?: number | undefined
  readonly inputTokens?: number | undefined
  readonly outputTokens?: number | undefined
}

export interface Allowance {
  /** Waits until the call may be made, makes it, and learns from how it ended. */
  readonly use: <A, E, R>(
    estimate: Use,
    call: Effect.Effect<A, E, R>,
    ended: (result: { readonly ok: A } | { readonly failed: E }) => Ended
  ) => Effect.Effect<A, E, R>
  /** Calls that may be under way now. */
  readonly concurrency: Effect.Effect<number>
}

/** The share of the server's limit that is used: differing clocks and rounding must cause no refusal. */
const share = 0.995

/** How many of the last calls count. */
const recent = 32

class Bucket {
  perMinute: number | undefined
  #level: number
  #at: number
  constructor(perMinute: number | undefined, now: number) {
    this.perMinute = perMinute
    this.#level = perMinute ?? 0
    this.#at = now
  }
  #fill(now: number): void {
    if (this.perMinute === undefined) return
    this.#level = Math.min(this.perMinute, this.#level + (now - this.#at) / 60_000 * this.perMinute * share)
    this.#at = now
  }
  /**
   * Milliseconds until this much is available; 0 if no limit is known. For more than the bucket holds, the time until
   * it is full.
   */
  waitFor(amount: number, now: number): number {
    if (this.perMinute === undefined) return 0
    this.#fill(now)
    const missing = Math.min(amount, this.perMinute) - this.#level
    return missing <= 1e-9 ? 0 : Math.ceil(missing / (this.perMinute * share) * 60_000)
  }
  take(amount: number): void {
    this.#level -= amount
  }
  learn(told: { readonly limit: number; readonly remaining: number } | undefined, underWay: number, now: number): void {
    if (told === undefined) return
    const first = this.perMinute === undefined
    this.#fill(now)
    this.perMinute = told.limit
    this.#at = now
    // The server's remaining amount may or may not count what is under way.
    this.#level = first ? told.remaining - underWay : Math.min(this.#level, told.remaining)
  }
}

export const makeAllowance = (options: AllowanceOptions): Effect.Effect<Allowance> =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const requests = new Bucket(options.requests, start)
    const input = new Bucket(options.inputTokens, start)
    const output = new Bucket(options.outputTokens, start)
    const turn = yield* Semaphore.make(1) // first come, first served
    let width = Math.min(2, options.concurrency)
    let doubling = true
    let successes = 0
    let notBefore = 0
    let cutAt = -Infinity
    /** Whether each of the last calls was refused. */
    const lately: Array<boolean> = []
    const crowded = () => {
      const refused = lately.filter((refusal) => refusal).length
      return refused > 2 && refused > lately.length / 4
    }
    const underWay = new Set<Use>()
    let freed = Deferred.makeUnsafe<void>()

    const total = (of: (use: Use) => number) => [...underWay].reduce((sum, use) => sum + of(use), 0)
    const waitTurn: (estimate: Use) => Effect.Effect<void> = (estimate) =>
      Effect.gen(function*() {
        for (;;) {
          if (underWay.size >= Math.floor(width)) {
            yield* Deferred.await(freed)
            continue
          }
          const now = yield* Clock.currentTimeMillis
          const wait = Math.max(
            notBefore - now,
            requests.waitFor(1, now),
            input.waitFor(estimate.inputTokens, now),
            output.waitFor(estimate.outputTokens, now)
          )
          if (wait <= 0) break
          // A call that ends gives back what it did not need: check again then.
          yield* Effect.timeoutOption(Deferred.await(freed), wait)
        }
        requests.take(1)
        input.take(estimate.inputTokens)
        output.take(estimate.outputTokens)
        underWay.add(estimate)
      })
    const learn = (headers: RateHeaders, now: number) => {
      requests.learn(headers.requests, underWay.size, now)
      input.learn(headers.inputTokens, total((use) => use.inputTokens), now)
      output.learn(headers.outputTokens, total((use) => use.outputTokens), now)
    }
    const end = (estimate: Use, ended: Ended) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (!underWay.delete(estimate)) return // it never began
        lately.push(ended._tag === "Slow")
        if (lately.length > recent) lately.shift()
        if (ended._tag === "Answered") {
          // The part that was set aside but not needed goes back.
          input.take(ended.use.inputTokens - estimate.inputTokens)
          output.take(ended.use.outputTokens - estimate.outputTokens)
          learn(ended.headers, now)
          if (doubling) width = Math.min(options.concurrency, width + 1)
          else if (++successes >= width / 4) {
            successes = 0
            width = Math.min(options.concurrency, width + 1)
          }
        } else if (ended._tag === "Slow") {
          input.take(-estimate.inputTokens)
          output.take(-estimate.outputTokens)
          learn(ended.headers, now)
          notBefore = Math.max(notBefore, now + ended.seconds * 1000)
          doubling = false
          successes = 0
          // One wave of refusals counts once.
          if (crowded() && now - cutAt > 1000) {
            width = Math.max(1, width * 0.75)
            cutAt = now
          }
        }
        const waiting = freed
        freed = Deferred.makeUnsafe<void>()
        Deferred.doneUnsafe(waiting, Effect.void)
      })

    return {
      use: (estimate, call, ended) =>
        Effect.uninterruptibleMask((restore) => {
          const own = { ...estimate }
          return restore(Semaphore.withPermit(turn)(waitTurn(own))).pipe(
            Effect.andThen(restore(call).pipe(
              Effect.tap((ok) => end(own, ended({ ok }))),
              Effect.tapError((failed) => end(own, ended({ failed })))
            )),
            Effect.onInterrupt(() => end(own, { _tag: "Lost" }))
          )
        }),
      concurrency: Effect.sync(() => Math.floor(width))
    }
  })
