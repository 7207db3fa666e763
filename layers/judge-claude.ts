/**
 * Judge: Claude, shown the prompt and both pictures. Both orders are asked by default: where they agree that is the
 * verdict, where not it is a tie, so a preference for a place never becomes a label.
 *
 * A call waits for its share of the rate limits (claude/allowance.ts) and of the budget, and every answer is stored
 * before it is used (claude/answers.ts). Nothing is asked again here: what is worth it fails with `JudgeBusy`, and the
 * pipeline asks again; an order that was answered already is then read, not paid.
 */
import { createHash } from "node:crypto"
import { Config, Duration, Effect, Exit, Layer, Option, type Redacted, Schema } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { BudgetSpent, makeBudget } from "../src/budget.ts"
import { type Picture, type Prompt, Verdict } from "../src/domain.ts"
import { Judge, JudgeBusy, type JudgeError, JudgeRefused, JudgeStopped } from "../src/stages/Judge.ts"
import { encodePng } from "../src/svg/png.ts"
import { type Ended, makeAllowance, type RateHeaders, type Use } from "./claude/allowance.ts"
import { Answers, type StoredAnswer } from "./claude/answers.ts"
import { ClaudeBusy, type ClaudeError, makeClient, type Reply } from "./claude/client.ts"
import { costOf, pictureTokens, type Price, tokensAtMost } from "./claude/prices.ts"
import { Answer, criteria, maxTokens, outputSchema, question, rubricVersion, system } from "./claude/rubric.ts"

export interface JudgeClaudeOptions {
  readonly apiKey: Redacted.Redacted
  /** Default: the public API. */
  readonly baseUrl?: string | undefined
  readonly model: string
  readonly price: Price
  /** 2: both orders, disagreement is a tie. 1: one order, drawn by the pictures' hashes, at half the price. Default 2. */
  readonly orders?: 1 | 2
  /** US dollars that may be spent; Infinity (the default) sets no limit. */
  readonly budgetUsd?: number
  /** Most calls at the same time. Default 32. */
  readonly concurrency?: number
  /** A minute, where the user wants less than the account allows. Default: what the server says. */
  readonly requestsPerMinute?: number | undefined
  /** Seconds until a whole answer must be there. Default 30. */
  readonly deadline?: number
  /** Refusals and cut-off answers about one pair in one order until it is given up. Default 4. */
  readonly unusableAnswers?: number
  /** Seconds without any answer after which the run is stopped. Default 900. */
  readonly patience?: number
}

/** Pictures under this side are enlarged by a whole factor: the model sees little in a stamp. Pixels. */
const leastSide = 224

/** Base64 of the PNG that is sent, and its side. */
const imageOf = ({ height, rgba, width }: Picture) => {
  const factor = Math.max(1, Math.ceil(leastSide / Math.max(width, height)))
  const [w, h] = [width * factor, height * factor]
  const from = new Uint32Array(Uint8Array.from(rgba).buffer)
  const to = new Uint32Array(w * h)
  for (let y = 0; y < h; y++) {
    const row = Math.floor(y / factor) * width
    for (let x = 0; x < w; x++) to[y * w + x] = from[row + Math.floor(x / factor)]!
  }
  const data = Buffer.from(encodePng(w, h, new Uint8Array(to.buffer))).toString("base64")
  return { tokens: pictureTokens(w, h), block: { type: "image", source: { type: "base64", media_type: "image/png", data } } } as const
}

const decodeAnswer = Schema.decodeUnknownEffect(Schema.fromJsonString(Answer))

const reasonOf = (answer: Answer): string =>
  [answer.differences, ...criteria.map((name) => `${name.replace("_", " ")}: ${answer[name].note} (${answer[name].better})`)]
    .join(" | ").replace(/\s+/g, " ")

const mirrored = { first: "second", second: "first", tie: "tie" } as const
const outcomes = { first: "A", second: "B", tie: "tie" } as const

const endedOf = (result: { readonly ok: Reply } | { readonly failed: ClaudeError }): Ended => {
  if ("ok" in result) return { _tag: "Answered", use: result.ok.use, headers: result.ok.headers }
  const { failed } = result
  if (failed._tag === "ClaudeUnusable") return { _tag: "Answered", use: failed, headers: failed.headers as RateHeaders }
  return failed._tag === "ClaudeBusy" && failed.kind === "slow"
    ? { _tag: "Slow", seconds: failed.retryAfter, headers: failed.headers as RateHeaders }
    : { _tag: "Lost" }
}

/** Fails while it is built only as the answers' file does. The key is sent to `baseUrl` and nowhere else. */
export const layer = (o: JudgeClaudeOptions) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const { concurrency = 32, deadline = 30, model, orders = 2, patience = 900, price, unusableAnswers = 4 } = o
      const identity = `claude-1 model=${model} rubric=${rubricVersion} orders=${orders}`
      const answers = yield* Answers
      const client = makeClient({ apiKey: o.apiKey, baseUrl: o.baseUrl, deadline })
      const allowance = yield* makeAllowance({ concurrency, requests: o.requestsPerMinute })
      const budget = makeBudget(o.budgetUsd ?? Infinity)
      // Far more failures in a row than a faulty network gives: the service is down, and is asked again only now and then.
      const breaker = yield* CircuitBreaker.make({
        tripPolicy: CircuitBreaker.consecutive(25),
        openDuration: "5 seconds",
        maxOpenDuration: "1 minute"
      }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))
      let answeredAt = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      /** nano-USD that a pair has cost so far, and how often each of its orders was answered in vain. */
      const spent = new Map<string, number>()
      const inVain = new Map<string, number>()
      /** Input tokens of the largest request so far, once one was answered. */
      let measured = 0

      const key = (prompt: Prompt, first: Picture, second: Picture) =>
        createHash("sha256")
          .update(JSON.stringify(["claude-1", model, rubricVersion, prompt.text, first.hash, second.hash]))
          .digest("hex")

      const ask = Effect.fn("Judge.claude.ask")(
        function*(prompt: Prompt, first: Picture, second: Picture, pair: string): Effect.fn.Return<StoredAnswer, JudgeError> {
          const own = key(prompt, first, second)
          const known = yield* stored(answers.get(own))
          if (known !== undefined) return known
          const images = [imageOf(first), imageOf(second)] as const
          const text = question(prompt)
          const bytes = Buffer.byteLength(system + text + JSON.stringify(outputSchema), "utf8")
          const pictures = images[0].tokens + images[1].tokens
          const worst: Use = { inputTokens: tokensAtMost(bytes) + pictures + 500, outputTokens: maxTokens }
          const likely: Use = { inputTokens: Math.max(measured, Math.ceil(bytes / 4) + pictures), outputTokens: maxTokens }
          const book = (nano: number) => {
            spent.set(pair, (spent.get(pair) ?? 0) + nano)
            return nano
          }
          const whole = costOf(price, worst.inputTokens, worst.outputTokens)
          const { text: answered, use } = yield* budget.spend(
            whole,
            allowance.use(
              likely,
              breaker.execute(
                client.send({
                  model,
                  max_tokens: maxTokens,
                  system,
                  messages: [{
                    role: "user",
                    content: [
                      { type: "text", text },
                      { type: "text", text: "The first picture:" },
                      images[0].block,
                      { type: "text", text: "The second picture:" },
                      images[1].block
                    ]
                  }],
                  output_config: { format: { type: "json_schema", schema: outputSchema } }
                }),
                { key: "claude", classify: classified }
              ).pipe(Effect.catchTag("CircuitBreakerError", ({ reason }) => Effect.fail(resting(reason)))),
              endedOf
            ),
            // What may have been charged counts as charged.
            (exit) =>
              exit === "interrupted"
                ? book(whole)
                : "ok" in exit
                ? book(costOf(price, exit.ok.use.inputTokens, exit.ok.use.outputTokens))
                : exit.failed._tag === "ClaudeUnusable"
                ? book(costOf(price, exit.failed.inputTokens, exit.failed.outputTokens))
                : exit.failed._tag === "ClaudeBusy" && exit.failed.kind === "lost"
                ? book(whole)
                : 0
          ).pipe(Effect.catch((error) => Effect.flatMap(Effect.clockWith((clock) => clock.currentTimeMillis), (now) =>
            Effect.fail(asJudgeError(error, own, now)))))
          answeredAt = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
          measured = Math.max(measured, use.inputTokens)
          const answer = yield* decodeAnswer(answered).pipe(
            Effect.mapError(() => unusable(own, "Claude's answer is not in the form that was asked for"))
          )
          const stays: StoredAnswer = {
            better: answer.better,
            confidence: Math.min(1, Math.max(0, answer.confidence)),
            reason: reasonOf(answer)
          }
          yield* stored(answers.put(own, stays, costOf(price, use.inputTokens, use.outputTokens)))
          inVain.delete(own)
          return stays
        }
      )

      const unusable = (own: string, message: string): JudgeError => {
        const times = (inVain.get(own) ?? 0) + 1
        inVain.set(own, times)
        return times < unusableAnswers ? new JudgeBusy({ message, retryAfter: Duration.zero }) : new JudgeRefused({ message: `${message}, ${times} times` })
      }
      const asJudgeError = (error: ClaudeError | BudgetSpent, own: string, now: number): JudgeError => {
        switch (error._tag) {
          case "ClaudeUnusable":
            answeredAt = now
            return unusable(own, error.message)
          case "ClaudeRejected":
            return new JudgeRefused({ message: error.message })
          case "ClaudeStopped":
          case "BudgetSpent":
            return new JudgeStopped({ message: error.message })
          case "ClaudeBusy":
            return now - answeredAt > patience * 1000
              ? new JudgeStopped({
                message: `No answer came for ${Math.round((now - answeredAt) / 60_000)} minutes, last because ${error.message}; resume the run when the service is back.`
              })
              : new JudgeBusy({
                message: error.message,
                // A lost answer says nothing of the server's load; one that is down or overloaded is given time.
                ...(error.kind === "lost" ? { retryAfter: Duration.zero } : {}),
                ...(error.retryAfter > 0 ? { retryAfter: Duration.seconds(error.retryAfter) } : {})
              })
        }
      }

      const compare = Effect.fn("Judge.compare")(function*(prompt: Prompt, a: Picture, b: Picture) {
        if (a.hash === b.hash) return new Verdict({ outcome: "tie", confidence: 0, by: "claude" })
        // By hash, so that swapping the pictures asks, and pays for, nothing new.
        const [lower, upper] = a.hash < b.hash ? [a, b] : [b, a]
        const pair = key(prompt, lower, upper)
        const shown = [[lower, upper], [upper, lower]] as const
        const asked = yield* Effect.forEach(
          shown.slice(0, orders),
          ([first, second]) => Effect.result(ask(prompt, first, second, pair)),
          { concurrency: 2 } // and both to their end: an answer under way is paid for
        )
        const given: Array<StoredAnswer> = []
        for (const result of asked) {
          if (result._tag === "Success") given.push(result.success)
          else if (result.failure._tag !== "JudgeRefused") return yield* result.failure
          else {
            const costUsd = (spent.get(pair) ?? 0) / 1e9
            spent.delete(pair)
            return yield* new JudgeRefused({ message: result.failure.message, costUsd })
          }
        }
        const [there, back] = given as [StoredAnswer, StoredAnswer?]
        const agreed = back === undefined || back.better === mirrored[there.better] ? there.better : "tie"
        const oriented = a === lower ? agreed : mirrored[agreed]
        const cost = spent.get(pair) ?? 0
        spent.delete(pair)
        return new Verdict({
          outcome: outcomes[oriented],
          confidence: oriented === "tie" ? 0 : back === undefined ? there.confidence : (there.confidence + back.confidence) / 2,
          by: "claude",
          reason: back === undefined || agreed !== "tie" || there.better === "tie"
            ? there.reason
            : `The orders disagree: ${there.reason} || ${back.reason}`,
          costUsd: cost / 1e9
        })
      })
      return Judge.of({ name: "claude", identity, concurrency: concurrency * 8, compare })
    })
  )

const stored = <A>(work: Effect.Effect<A, { readonly message: string }>) =>
  Effect.mapError(work, ({ message }) => new JudgeStopped({ message }))

/** Only what says that the service is not there; a refusal to judge, say, comes from a service that works. */
const classified = (exit: Exit.Exit<Reply, ClaudeError>): CircuitBreaker.Outcome => {
  const error = Exit.isFailure(exit) ? Option.getOrUndefined(Exit.findErrorOption(exit)) : undefined
  if (error?._tag !== "ClaudeBusy") return Exit.isSuccess(exit) || error !== undefined ? CircuitBreaker.success : CircuitBreaker.ignored
  return error.kind === "slow" ? CircuitBreaker.ignored : CircuitBreaker.failure()
}

const resting = (reason: CircuitBreaker.CircuitBreakerError["reason"]) =>
  new ClaudeBusy({
    kind: "down",
    message: "the Claude API has failed many times in a row",
    retryAfter: reason._tag === "CircuitOpen" ? Duration.toSeconds(reason.retryAfter) : 1,
    headers: {}
  })

/** ANTHROPIC_API_KEY and, where it is set, ANTHROPIC_BASE_URL: all that is read of the environment. */
export const layerConfig = (options: Omit<JudgeClaudeOptions, "apiKey" | "baseUrl">) =>
  Layer.unwrap(Effect.gen(function*() {
    const apiKey = yield* Config.Redacted("ANTHROPIC_API_KEY")
    const baseUrl = Option.getOrUndefined(yield* Config.option(Config.String("ANTHROPIC_BASE_URL")))
    return layer({ ...options, apiKey, baseUrl })
  }))
