/**
 * Asks questions of a guide model, the larger model that judges. Each question waits for its share of the rate limits
 * (allowance.ts) and of the budget, and its answer is stored (answers.ts) before it is used. Nothing is asked again
 * here: a failure worth another try is `JudgeBusy`, and the pipeline asks again; an answer that already exists is then
 * read, not paid for.
 */
import { Context, Duration, Effect, Exit, Layer, Option, Schema } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { type BudgetSpent, makeBudget } from "./budget.ts"
import { JudgeBusy, type JudgeError, JudgeRefused, JudgeStopped } from "../../src/stages/Judge.ts"
import { type Ended, makeAllowance, type RateHeaders, type Use } from "./allowance.ts"
import { Answers } from "./answers.ts"
import { Ledger } from "../../src/stages/Ledger.ts"
import { Steering } from "../../src/stages/Steering.ts"
import { longestJson } from "../../src/system/json-in.ts"
import { pictureTokens } from "./pictures.ts"
import { hiding } from "../../src/system/secrets.ts"
import { costOf, type Price } from "./prices.ts"
import { hashOf, type Question, type Rubric } from "./question.ts"
import { sharing } from "./sharing.ts"
import { ModelBusy, ModelStopped, type Part, type Reply, type Request, type Transport, type TransportError, wordBytes, worstUse } from "./transport.ts"

export interface GuideOptions {
  readonly model: string
  readonly price: Price
  /** Most US dollars to spend; Infinity (the default) sets no limit. */
  readonly budgetUsd?: number | undefined
  /** Most calls at the same time. Default 32, or 10,000 if they are queued. */
  readonly concurrency?: number | undefined
  /** Most requests a minute, if the user wants less than the account allows. Default: what the server says. */
  readonly requestsPerMinute?: number | undefined
  /** How many refusals and cut-off answers to one question before it is given up. Default 4. */
  readonly unusableAnswers?: number | undefined
  /** Seconds without any answer after which the run is stopped; a queue has its own patience. Default 900. */
  readonly patience?: number | undefined
}

export class Guide extends Context.Service<Guide, {
  /** Its name, and everything else its answers depend on. */
  readonly model: string
  /** Calls that may be under way at the same time. */
  readonly concurrency: number
  readonly question: <A>(rubric: Rubric<A>, parts: ReadonlyArray<Part>) => Question<A>
  readonly ask: <A>(question: Question<A>) => Effect.Effect<A, JudgeError>
  /** US dollars that these questions have cost since they were last billed. */
  readonly bill: (questions: ReadonlyArray<Question<unknown>>) => number
}>()("vequinox/Guide") {
  static readonly layer = (transport: Transport, options: GuideOptions) =>
    Layer.effect(Guide, makeGuide(transport, options))
}

/** Adds to a refusal what the questions cost. */
export const billRefusals = (guide: Guide["Service"], questions: ReadonlyArray<Question<unknown>>) =>
<A, R>(work: Effect.Effect<A, JudgeError, R>): Effect.Effect<A, JudgeError, R> =>
  Effect.catchTag(work, "JudgeRefused", ({ message }) =>
    Effect.fail(new JudgeRefused({ message, costUsd: guide.bill(questions) })))

type CallEnded = { readonly ok: Reply } | { readonly failed: TransportError } | "interrupted"

const endedOf = (result: { readonly ok: Reply } | { readonly failed: TransportError }): Ended => {
  if ("ok" in result) return { _tag: "Answered", use: result.ok.use, headers: result.ok.headers }
  const { failed } = result
  if (failed._tag === "ModelUnusable") return { _tag: "Answered", use: failed, headers: failed.headers as RateHeaders }
  return failed._tag === "ModelBusy" && failed.kind === "slow"
    ? { _tag: "Slow", seconds: failed.retryAfter, headers: failed.headers as RateHeaders }
    : { _tag: "Lost" }
}

/**
 * Counts only failures that show that the service is not there; a refusal to judge, for example, comes from a service
 * that works.
 */
const classified = (exit: Exit.Exit<Reply, TransportError>): CircuitBreaker.Outcome => {
  const error = Exit.isFailure(exit) ? Option.getOrUndefined(Exit.findErrorOption(exit)) : undefined
  if (error?._tag !== "ModelBusy") return Exit.isSuccess(exit) || error !== undefined ? CircuitBreaker.success : CircuitBreaker.ignored
  return error.kind === "slow" || error.kind === "otherwise" ? CircuitBreaker.ignored : CircuitBreaker.failure()
}

const stored = <A>(work: Effect.Effect<A, { readonly message: string }>) =>
  Effect.mapError(work, ({ message }) => new JudgeStopped({ message }))

class TooLong extends Schema.TaggedError<TooLong>()("TooLong", {}) {}

const makeGuide = Effect.fnUntraced(function*(transport: Transport, o: GuideOptions) {
  const { hide = hiding(undefined) } = transport
  const free = o.price.input === 0 && o.price.output === 0
  const { concurrency = transport.queued ? 10_000 : 32, patience = 900, price, unusableAnswers = 4 } = o
  const thinking = transport.thinkingTokens?.(o.model) ?? 0
  const model = transport.variant === undefined ? o.model : `${o.model} at ${transport.variant}`
  const answers = yield* Answers
  const allowance = yield* makeAllowance({ concurrency, requests: o.requestsPerMinute })
  const ledger = yield* Ledger
  const { mostUsd } = yield* Steering
  /** Made at the first question: a run asks that only after it has gone back to its checkpoint. */
  const budget = yield* Effect.cached(
    ledger.spentBefore.pipe(
      Effect.flatMap((nano) =>
        Effect.map(ledger.excessBefore, (excess) =>
          // A batch of one question would take as long as one of many.
          makeBudget(o.budgetUsd ?? Infinity, nano / 1e9, { excess, firstShare: free ? 1 : transport.queued ? 0.25 : 0, mostUsd }))),
      Effect.mapError(({ message }) => new JudgeStopped({ message }))
    )
  )
  // Far more failures in a row than a faulty network gives: the service is down, and is then asked only now and then.
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(25),
    openDuration: "5 seconds",
    maxOpenDuration: "1 minute"
  }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))
  const now = Effect.clockWith((clock) => clock.currentTimeMillis)
  let answeredAt = yield* now
  /** Seconds to wait for a service that is down: more each time it is still down, none once it has answered. */
  let backoff = 0
  let backoffSince = 0
  const answered = (at: number) => {
    answeredAt = at
    backoff = 0
  }
  const down = (at: number): number => {
    // One outage fails many calls at once: it counts once.
    if (at >= backoffSince + backoff * 1000) {
      backoff = backoff === 0 ? 0.5 : Math.min(30, 2 * backoff)
      backoffSince = at
    }
    return backoff * (0.75 + 0.5 * Math.random())
  }
  /** nano-USD that a question has cost and that no verdict carries yet, and how often it got an unusable answer. */
  const unbilled = new Map<string, number>()
  const inVain = new Map<string, number>()
  /** Input tokens of the largest request of a rubric so far, known once one was answered. */
  const measured = new Map<string, number>()

  const unusable = (id: string, message: string): JudgeError => {
    const times = (inVain.get(id) ?? 0) + 1
    inVain.set(id, times)
    return times < unusableAnswers
      ? new JudgeBusy({ message, retryAfter: Duration.zero })
      : new JudgeRefused({ message: `${message}, ${times} times` })
  }
  const asJudgeError = (error: TransportError | BudgetSpent, id: string, at: number): JudgeError => {
    switch (error._tag) {
      case "ModelUnusable":
        answered(at)
        return error.final ? new JudgeRefused({ message: error.message }) : unusable(id, error.message)
      case "ModelRejected":
        return new JudgeRefused({ message: error.message })
      case "ModelStopped":
      case "BudgetSpent":
        return new JudgeStopped({ message: error.message })
      case "ModelBusy":
        return !transport.queued && at - answeredAt > patience * 1000
          ? new JudgeStopped({
            message: `No answer came for ${Math.round((at - answeredAt) / 60_000)} minutes, last because ${error.message}; resume the run when the service is back.`
          })
          : new JudgeBusy({
            message: error.message,
            // A lost answer says nothing about the server's load. A server that is down gets time, and so does one that
            // asks for it.
            retryAfter: Duration.seconds(Math.max(error.retryAfter, error.kind === "down" ? down(at) : 0))
          })
    }
  }
  const resting = (reason: CircuitBreaker.CircuitBreakerError["reason"]) =>
    new ModelBusy({
      kind: "down",
      message: `${transport.where} has failed many times in a row`,
      retryAfter: reason._tag === "CircuitOpen" ? Duration.toSeconds(reason.retryAfter) : 1,
      headers: {}
    })

  /**
   * Noted before it is sent, and again when it has ended and its answer is stored: if the process is killed in between,
   * the call is in doubt. A queued question is remembered by its transport until then.
   */
  const noted = (
    id: string,
    estimate: number,
    worst: number,
    call: Effect.Effect<Reply, TransportError>,
    keep: (reply: Reply) => Effect.Effect<void>,
    cost: (ended: CallEnded) => number
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const ask = (nano: number) => Effect.mapError(ledger.asked(id, nano), ({ message }) => new ModelStopped({ message }))
        const asked = transport.queued ? undefined : yield* ask(worst)
        return yield* restore(call).pipe(Effect.tap(keep), Effect.onExit((exit) => {
          const failed = Exit.isFailure(exit) ? Option.getOrUndefined(Exit.findErrorOption(exit)) : undefined
          const nano = cost(Exit.isSuccess(exit) ? { ok: exit.value } : failed === undefined ? "interrupted" : { failed })
          if (asked === undefined && nano === 0) return Effect.void
          // If this is not written, the call stays in doubt; the answer is still worth keeping.
          return Effect.ignore(Effect.flatMap(asked === undefined ? ask(nano) : Effect.succeed(asked), (call) => ledger.ended(call, nano, nano / Math.max(1, estimate))))
        }))
      })
    )
  /** Sends in turn and within the limits; a transport that queues does both itself. */
  const sent = (call: Effect.Effect<Reply, TransportError>, likely: Use) =>
    transport.queued
      ? call
      : allowance.use(
        likely,
        breaker.execute(call, { key: model, classify: classified }).pipe(
          Effect.catchTag("CircuitBreakerError", ({ reason }) => Effect.fail(resting(reason)))
        ),
        endedOf
      )

  const question = <A>(rubric: Rubric<A>, parts: ReadonlyArray<Part>): Question<A> => ({
    id: hashOf(["guide-1", model, rubric.system, rubric.schema, parts.map((part) => ("text" in part ? part.text : [part.picture.hash]))]),
    rubric,
    parts
  })

  const askNow = Effect.fn("Guide.ask")(
    function*<A>({ id, parts, rubric: { answer, maxTokens, read = (text) => text, schema, system, version } }: Question<A>): Effect.fn.Return<A, JudgeError> {
      const words = JSON.stringify(schema)
      // Also hides the key in an answer that was stored with it.
      const answerIn = (text: string) => hide.json(read(text), (word) => words.includes(JSON.stringify(word)))
      const decode = (json: string): Effect.Effect<A, Schema.SchemaError | TooLong> =>
        json.length > longestJson ? Effect.fail(new TooLong()) : Schema.decodeEffect(Schema.fromJsonString(answer))(json)
      const known = yield* Effect.map(stored(answers.get(id)), (text) => text === undefined ? undefined : answerIn(text))
      // It was decoded before it was stored, but the checks of a form are not part of its key and may have changed.
      const usable = known === undefined ? Option.none() : yield* Effect.option(decode(known))
      if (Option.isSome(usable)) return usable.value
      const { atMost, spend } = yield* budget
      const request: Request = { id, once: hashOf([id, inVain.get(id) ?? 0]), model: o.model, system, parts, schema, maxTokens: maxTokens + thinking }
      const limitless = transport.takesNoLimit?.() ?? false
      const worst = worstUse({ ...request, limitless }, transport.pictureTokensAtMost)
      const pictures = parts.reduce((sum, part) => sum + ("text" in part ? 0 : pictureTokens(part.picture)), 0)
      const likely: Use = {
        inputTokens: Math.max(measured.get(version) ?? 0, Math.ceil(wordBytes(request) / 4) + pictures),
        outputTokens: request.maxTokens
      }
      const whole = costOf(price, worst.inputTokens, worst.outputTokens)
      /** A call that may have been charged counts as charged. */
      const cost = (ended: CallEnded): number =>
        ended === "interrupted"
          ? transport.queued ? 0 : atMost(whole) // a batch's answer is there for the next process
          : "ok" in ended
          ? costOf(price, ended.ok.use.inputTokens, ended.ok.use.outputTokens)
          : ended.failed._tag === "ModelUnusable"
          ? costOf(price, ended.failed.inputTokens, ended.failed.outputTokens)
          : ended.failed._tag === "ModelBusy" && ended.failed.kind === "lost"
          ? atMost(whole)
          : 0
      const book = (nano: number) => {
        unbilled.set(id, (unbilled.get(id) ?? 0) + nano)
        return nano
      }
      let unkept: JudgeStopped | undefined
      const keep = ({ text, use }: Reply) =>
        decode(answerIn(text)).pipe(
          Effect.andThen(stored(answers.put(id, answerIn(text), costOf(price, use.inputTokens, use.outputTokens)))),
          Effect.catchTag("JudgeStopped", (error) => Effect.sync(() => void (unkept = error))),
          Effect.ignore // what does not fit the form is not kept
        )
      const send = transport.send({ ...request, limitless: limitless || free })
      const call = Effect.suspend(() => noted(id, whole, atMost(whole), send, keep, cost))
      const { text, use } = yield* spend(
        whole,
        sent(call, likely),
        (ended) => book(cost(ended))
      ).pipe(Effect.catch((error) => Effect.flatMap(now, (at) => Effect.fail(asJudgeError(error, id, at)))))
      answered(yield* now)
      measured.set(version, Math.max(measured.get(version) ?? 0, use.inputTokens))
      const decoded = yield* decode(answerIn(text)).pipe(
        Effect.mapError(() => unusable(id, "the model's answer is not in the form that was asked for"))
      )
      if (unkept !== undefined) return yield* unkept
      inVain.delete(id)
      return decoded
    }
  )

  const ask = sharing(askNow)
  const bill = (questions: ReadonlyArray<Question<unknown>>): number => {
    let nano = 0
    for (const { id } of questions) {
      nano += unbilled.get(id) ?? 0
      unbilled.delete(id)
    }
    return nano / 1e9
  }
  return Guide.of({ model, concurrency, question, ask, bill })
})
