/**
 * How much may be asked of the API now: requests and tokens a minute, and calls at the same time.
 *
 * The server refills its buckets continuously; ours mirror them. Nothing is known before the first answer, so calls start
 * two at a time and double with every round of successes (as TCP's slow start) until the server's headers or its first
 * refusal (429 or 529) say where the limit is; then they grow by four a round. Any refusal is waited out as long as it
 * says; only where more than a quarter of the last calls were refused is there too much at once, and a quarter of the
 * width goes (AIMD, Chiu & Jain 1989, with CUBIC's gentler cut: a server that refuses at random must not starve us).
 */
import { Clock, Deferred, Effect, Semaphore } from "effect"

/** What one call is thought to take, or took. */
export interface Use {
  readonly inputTokens: number
  readonly outputTokens: number
}

/** Limits and remaining amounts as the server tells them in `anthropic-ratelimit-*`; absent where it does not. */
export interface RateHeaders {
  readonly requests?: { readonly limit: number; readonly remaining: number }
  readonly inputTokens?: { readonly limit: number; readonly remaining: number }
  readonly outputTokens?: { readonly limit: number; readonly remaining: number }
}

/** How a call ended: answered, told to slow down (for `seconds`, where it said), or neither. */
export type Ended =
  | { readonly _tag: "Answered"; readonly use: Use; readonly headers: RateHeaders }
  | { readonly _tag: "Slow"; readonly seconds: number; readonly headers: RateHeaders }
  | { readonly _tag: "Lost" }

export interface AllowanceOptions {
  /** Most calls at the same time. */
  readonly concurrency: number
  /** A minute, as far as they are known before the server says: from the user's settings. */
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

/** Kept back of what the server gives, so that clocks and rounding that differ draw no refusal. */
const share = 0.995

/** Calls that are looked back on. */
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
  /** Milliseconds until this much is there; 0 where no limit is known. More than the bucket holds waits for a full one. */
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
    // What is under way may or may not be counted in what the server says remains.
    this.#level = first ? told.remaining - underWay : Math.min(this.#level, told.remaining)
  }
}

export const makeAllowance = (options: AllowanceOptions): Effect.Effect<Allowance> =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const requests = new Bucket(options.requests, start)
    const input = new Bucket(options.inputTokens, start)
    const output = new Bucket(options.outputTokens, start)
    const turn = yield* Semaphore.make(1) // the first to ask is the first to go
    let width = Math.min(2, options.concurrency)
    let doubling = true
    let successes = 0
    let notBefore = 0
    let cutAt = -Infinity
    /** The last calls, whether each was refused. */
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
          // A call that ends gives back what it did not need: look again then.
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
          // What was set aside and not needed goes back.
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
          // One wave of refusals is one piece of news.
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
