/**
 * From drawings to preferences: which pairs of one prompt are looked at, who decides them, and what may be trained.
 *
 * Only two things make a label: the gate (a valid drawing beats an invalid one) and a judge's A or B, or its tie where
 * ties are trained. Refusals, a judge that stays busy and pairs of two invalid drawings never do (invariant 1).
 */
import { Effect, Schedule } from "effect"
import type { PipelineConfig } from "../steps/config.ts"
import { type Drawing, JudgedPair, type Outcome, type Picture, Preference, type Prompt, type Rendering, Verdict } from "../domain.ts"
import { random, shuffled } from "../engine/random.ts"
import { Judge, type JudgeBusy, type JudgeError, type JudgeRefused, type JudgeStopped } from "../stages/Judge.ts"
import { Judgments } from "../stages/Judgments.ts"

export type DrawingPair = readonly [Drawing, Drawing]

/** All pairs i < j, in this order. */
export const allPairs = (drawings: ReadonlyArray<Drawing>): Array<DrawingPair> =>
  drawings.flatMap((a, i) => drawings.slice(i + 1).map((b): DrawingPair => [a, b]))

/** Nothing can be learned from two drawings with the same text or the same pixels. */
export const isDuplicate = ([a, b]: DrawingPair): boolean =>
  a.candidate.svg === b.candidate.svg ||
  (a.rendering._tag === "Rendered" && b.rendering._tag === "Rendered" &&
    a.rendering.picture.hash === b.rendering.picture.hash)

/**
 * The pairs of one prompt that are decided: duplicates left out, at most `limit` of the rest, drawn at random by
 * hash(seed, step, prompt position) and kept in the order i < j.
 */
export const pairsToDecide = (
  drawings: ReadonlyArray<Drawing>,
  limit: number | undefined,
  counters: ReadonlyArray<number>
): ReadonlyArray<DrawingPair> => {
  const pairs = allPairs(drawings).filter((pair) => !isDuplicate(pair))
  if (limit === undefined || pairs.length <= limit) return pairs
  const drawn = new Set(shuffled(random(...counters), pairs).slice(0, limit))
  return pairs.filter((pair) => drawn.has(pair))
}

/** In a run, where an outage of some minutes should cost no judgment. */
const runRetries = 40

/** As long as the judge says, else 0.5 s, 1 s, 2 s ... capped at 30 s and jittered; JudgeBusy only. */
export const judgeRetry = (times = runRetries) =>
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

/** The one place where a judge is asked again; every judge relies on it and retries nothing itself. */
export const withJudgeRetry = <A, R>(call: Effect.Effect<A, JudgeError, R>, times?: number) =>
  Effect.retry(call, judgeRetry(times))

const byGate = (outcome: Outcome): Verdict =>
  new Verdict({ outcome, confidence: outcome === "invalid" ? 0 : 1, by: "gate" })

/** What a judge that gave no usable answer leaves: never a label. */
const unanswered = (judge: Judge["Service"], error: JudgeBusy | JudgeRefused): Verdict =>
  new Verdict({
    outcome: "failed",
    confidence: 0,
    by: judge.name,
    reason: error.message,
    ...("costUsd" in error && error.costUsd !== undefined ? { costUsd: error.costUsd } : {})
  })

/**
 * Where letters are allowed they may tell a good drawing, but must not make one: what wins with its letters and loses
 * without them has only written the prompt out, and that is a tie.
 */
const withoutLetters = (verdict: Verdict, bare: Verdict): Verdict => {
  const costUsd = (verdict.costUsd ?? 0) + (bare.costUsd ?? 0)
  const opposed = (verdict.outcome === "A" && bare.outcome === "B") || (verdict.outcome === "B" && bare.outcome === "A")
  const judged = opposed
    ? new Verdict({ outcome: "tie", confidence: 0, by: verdict.by, reason: `Without its letters it loses: ${bare.reason ?? bare.outcome}` })
    : verdict
  return new Verdict({ ...judged, ...(costUsd > 0 ? { costUsd } : {}) })
}

/** What a judge says of two pictures, after as many attempts as it takes; a judge that gives no usable answer says that. */
const ask = (judge: Judge["Service"], prompt: Prompt, a: Picture, b: Picture, retries?: number): Effect.Effect<Verdict, JudgeStopped> =>
  judge.compare(prompt, a, b).pipe(
    (call) => withJudgeRetry(call, retries),
    Effect.catchTag(["JudgeBusy", "JudgeRefused"], (error) => Effect.succeed(unanswered(judge, error)))
  )

/** From the gate where one rendering is invalid, else from those who are asked, about the pictures without letters too. */
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

/** A verdict on two drawings of a step, at rest (stages/Judgments.ts) before it is used. */
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
 * `decide` for several pairs of one prompt with a judge that is shown all their pictures at once. Its failure fails every
 * pair of two pictures; what it cost is booked on the first of them.
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

/**
 * The trainable ones: A and B, and ties where they are asked for, the first drawing as chosen. A weight of 0 would only
 * pass through the network in vain, so it is left out.
 */
export const preferencesOf = (
  pairs: ReadonlyArray<JudgedPair>,
  { invalidPairWeight, labels, ties }: Pick<PipelineConfig, "invalidPairWeight" | "labels" | "ties">
): Array<Preference> =>
  pairs.flatMap(({ a, b, verdict }) => {
    const { by, confidence, outcome } = verdict
    const weight = by === "gate" ? invalidPairWeight : 1
    if (weight <= 0 || outcome === "invalid" || outcome === "failed" || (outcome === "tie" && ties === "drop")) return []
    const [chosen, rejected] = outcome === "B" ? [b, a] : [a, b]
    const label = outcome === "tie" ? 0.5 : labels === "soft" ? (1 + confidence) / 2 : 1
    return [new Preference({ prompt: a.prompt, chosen, rejected, label, weight, verdict })]
  })

/** How old a preference may get, and what its age does to its weight. */
export interface StalenessOptions {
  /** Versions, >= 0: older preferences are dropped. */
  readonly maxStaleness: number
  /** In (0, 1]; a preference of age a has its weight multiplied by `staleWeight ** a`. 1 treats all alike. */
  readonly staleWeight: number
}

/** Versions between what the pair was drawn from and the parameters it would train. */
export const ageOf = ({ chosen, rejected }: Preference, version: number): number =>
  version - Math.min(chosen.policyVersion, rejected.policyVersion)

/** The preference as it is trained at `version`, or undefined when it is too old. */
export const admit = (
  preference: Preference,
  version: number,
  { maxStaleness, staleWeight }: StalenessOptions
): Preference | undefined => {
  const age = ageOf(preference, version)
  if (age > maxStaleness) return undefined
  return age === 0 ? preference : new Preference({ ...preference, weight: preference.weight * staleWeight ** age })
}
