/**
 * Who decides a pair: the gate if a drawing is invalid, else the judge. An answer is stored (stages/Judgments.ts)
 * before it is used. An unusable answer is `failed` and becomes no label (invariant 1).
 */
import { Effect, Schedule } from "effect"
import { JudgedPair, type Outcome, type Picture, type Prompt, type Rendering, Verdict } from "../domain.ts"
import { Judge, type JudgeBusy, type JudgeError, type JudgeRefused, type JudgeStopped } from "../stages/Judge.ts"
import { Judgments } from "../stages/Judgments.ts"
import type { DrawingPair } from "./pairs.ts"

/** Enough for a run: an outage of some minutes should cost no judgment. */
const runRetries = 40

/** Waits as long as the judge says, else 0.5 s, 1 s, 2 s ... capped at 30 s and jittered; JudgeBusy only. */
const judgeRetry = (times = runRetries) =>
  Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("30 seconds")]).pipe(
    Schedule.jittered,
    Schedule.upTo({ times }),
    Schedule.setInputType<JudgeError>(),
    Schedule.while(({ input }) => input._tag === "JudgeBusy"),
    Schedule.modifyDelay(({ duration, input }) =>
      Effect.succeed(
        input._tag === "JudgeBusy" && input.retryAfter !== undefined ? input.retryAfter : duration
      )
    )
  )

/** The only place where a judge is asked again. Every judge relies on it and retries nothing itself. */
export const withJudgeRetry = <A, R>(call: Effect.Effect<A, JudgeError, R>, times?: number) =>
  Effect.retry(call, judgeRetry(times))

const byGate = (outcome: Outcome): Verdict =>
  new Verdict({ outcome, confidence: outcome === "invalid" ? 0 : 1, by: "gate" })

/** The verdict when a judge gave no usable answer: never a label. */
const unanswered = (judge: Judge["Service"], error: JudgeBusy | JudgeRefused): Verdict =>
  new Verdict({
    outcome: "failed",
    confidence: 0,
    by: judge.name,
    reason: error.message,
    ...("costUsd" in error && error.costUsd !== undefined ? { costUsd: error.costUsd } : {})
  })

/**
 * Allowed letters may improve a good drawing, but must not make one. A drawing that wins with its letters and loses
 * without them has only written the prompt out: a tie. If the question without letters got no answer, the verdict is
 * `failed`.
 */
const withoutLetters = (verdict: Verdict, bare: Verdict): Verdict => {
  const costUsd = (verdict.costUsd ?? 0) + (bare.costUsd ?? 0)
  const opposed = (verdict.outcome === "A" && bare.outcome === "B") || (verdict.outcome === "B" && bare.outcome === "A")
  const judged = bare.outcome === "failed"
    ? new Verdict({ outcome: "failed", confidence: 0, by: bare.by, reason: `Without its letters: ${bare.reason ?? "no answer"}` })
    : opposed
    ? new Verdict({ outcome: "tie", confidence: 0, by: verdict.by, reason: `Without its letters it loses: ${bare.reason ?? bare.outcome}` })
    : verdict
  return new Verdict({ ...judged, ...(costUsd > 0 ? { costUsd } : {}) })
}

/** The judge's verdict on two pictures, with all retries; if it gives no usable answer, the verdict says so. */
const ask = (judge: Judge["Service"], prompt: Prompt, a: Picture, b: Picture, retries?: number): Effect.Effect<Verdict, JudgeStopped> =>
  judge.compare(prompt, a, b).pipe(
    (call) => withJudgeRetry(call, retries),
    Effect.catchTag(["JudgeBusy", "JudgeRefused"], (error) => Effect.succeed(unanswered(judge, error)))
  )

/** The gate decides if one rendering is invalid; else `asked` does, also about the pictures without letters. */
const byRenderings = Effect.fnUntraced(function*(
  a: Rendering,
  b: Rendering,
  asked: (a: Picture, b: Picture, bare: boolean) => Effect.Effect<Verdict, JudgeStopped>
) {
  if (a._tag !== "Rendered") return byGate(b._tag === "Rendered" ? "B" : "invalid")
  if (b._tag !== "Rendered") return byGate("A")
  const verdict = yield* asked(a.picture, b.picture, false)
  if (a.bare === undefined && b.bare === undefined) return verdict
  return withoutLetters(verdict, yield* asked(a.bare ?? a.picture, b.bare ?? b.picture, true))
})

/** A verdict on two renderings that belong to no run. Fails only with `JudgeStopped`. */
export const decideRenderings = Effect.fn("pipeline.decideRenderings")(
  function*(prompt: Prompt, a: Rendering, b: Rendering, retries?: number): Effect.fn.Return<Verdict, JudgeStopped, Judge> {
    const judge = yield* Judge
    return yield* byRenderings(a, b, (x, y) => ask(judge, prompt, x, y, retries))
  }
)

/** A verdict on two drawings of a step, stored (stages/Judgments.ts) before it is used. */
export const decide = Effect.fn("pipeline.decide")(
  function*(prompt: Prompt, [a, b]: DrawingPair): Effect.fn.Return<JudgedPair, JudgeStopped, Judge> {
    const judge = yield* Judge
    const judgments = yield* Judgments
    const verdict = yield* byRenderings(a.rendering, b.rendering, (x, y, bare) => {
      const shown = [[a.candidate.index, x.hash], [b.candidate.index, y.hash]] as const
      return judgments.once(
        { step: a.candidate.step, prompt, judge: judge.identity, shown, bare },
        Effect.map(ask(judge, prompt, x, y), (verdict) => [verdict])
      ).pipe(Effect.map(([verdict]) => verdict!))
    })
    return new JudgedPair({ a: a.candidate, b: b.candidate, verdict })
  }
)

/**
 * `decide` for several pairs of one prompt, with a judge that sees all their pictures at once. If it fails, every pair
 * of two pictures fails; the first of them carries its cost.
 */
export const decideTogether = Effect.fn("pipeline.decideTogether")(
  function*(prompt: Prompt, pairs: ReadonlyArray<DrawingPair>): Effect.fn.Return<ReadonlyArray<JudgedPair>, JudgeStopped, Judge> {
    const judge = yield* Judge
    const judgments = yield* Judgments
    const pictures = new Map(pairs.flat().flatMap(({ candidate, rendering }) =>
      rendering._tag === "Rendered" ? [[candidate.index, rendering.picture] as const] : []
    ))
    const shown = [...pictures].toSorted(([i], [j]) => i - j)
    const lettered = pairs.flat().some(({ rendering }) => rendering._tag === "Rendered" && rendering.bare !== undefined)
    if (judge.compareAll === undefined || shown.length < 3 || lettered) return yield* Effect.forEach(pairs, (pair) => decide(prompt, pair))
    const keys = shown.flatMap(([i], n) => shown.slice(n + 1).map(([j]) => `${i} ${j}`)) // as compareAll orders its verdicts
    const answers = yield* judgments.once(
      {
        step: pairs[0]![0].candidate.step,
        prompt,
        judge: judge.identity,
        shown: shown.map(([index, { hash }]) => [index, hash] as const),
        bare: false
      },
      judge.compareAll(prompt, shown.map(([, picture]) => picture)).pipe(
        withJudgeRetry,
        Effect.catchTag(["JudgeBusy", "JudgeRefused"], (error) => {
          const { by, outcome, ...first } = unanswered(judge, error)
          return Effect.succeed(keys.map((_, n) => new Verdict({ ...(n === 0 ? first : { confidence: 0 }), by, outcome })))
        })
      )
    )
    const verdicts = new Map(keys.map((key, n) => [key, answers[n]!]))
    return yield* Effect.forEach(pairs, ([a, b]) => {
      const verdict = verdicts.get(`${a.candidate.index} ${b.candidate.index}`)
      return verdict === undefined
        ? decide(prompt, [a, b]) // one of them did not render
        : Effect.succeed(new JudgedPair({ a: a.candidate, b: b.candidate, verdict }))
    })
  }
)
