/**
 * From drawings to preferences: which pairs of one prompt are looked at, who decides them, and what may be trained.
 *
 * Only two things make a label: the gate (a valid drawing beats an invalid one) and a judge's A or B. Ties, refusals,
 * a judge that stays busy and pairs of two invalid drawings never do (invariant 1).
 */
import { Effect, Schedule } from "effect"
import { type Drawing, JudgedPair, type Outcome, Preference, type Prompt, type Rendering, Verdict } from "./domain.ts"
import { random, shuffled } from "./numerics/random.ts"
import { Judge, type JudgeError, type JudgeStopped } from "./stages/Judge.ts"

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

/** A verdict on two renderings: from the gate where one is invalid, else from the judge. Fails only with `JudgeStopped`. */
export const decideRenderings = Effect.fn("pipeline.decide")(
  function*(prompt: Prompt, a: Rendering, b: Rendering, retries?: number): Effect.fn.Return<Verdict, JudgeStopped, Judge> {
    const judge = yield* Judge
    if (a._tag !== "Rendered") return byGate(b._tag === "Rendered" ? "B" : "invalid")
    if (b._tag !== "Rendered") return byGate("A")
    return yield* judge.compare(prompt, a.picture, b.picture).pipe(
      (call) => withJudgeRetry(call, retries),
      Effect.catchTag(
        ["JudgeBusy", "JudgeRefused"],
        (error) =>
          Effect.succeed(
            new Verdict({
              outcome: "failed",
              confidence: 0,
              by: judge.name,
              reason: error.message,
              ...("costUsd" in error && error.costUsd !== undefined ? { costUsd: error.costUsd } : {})
            })
          )
      )
    )
  }
)

export const decide = (prompt: Prompt, [a, b]: DrawingPair) =>
  Effect.map(
    decideRenderings(prompt, a.rendering, b.rendering),
    (verdict) => new JudgedPair({ a: a.candidate, b: b.candidate, verdict })
  )

/** The trainable ones: A and B. A weight of 0 would only pass through the network in vain, so it is left out. */
export const preferencesOf = (pairs: ReadonlyArray<JudgedPair>, invalidPairWeight: number): Array<Preference> =>
  pairs.flatMap(({ a, b, verdict }) => {
    const weight = verdict.by === "gate" ? invalidPairWeight : 1
    if ((verdict.outcome !== "A" && verdict.outcome !== "B") || weight <= 0) return []
    const [chosen, rejected] = verdict.outcome === "A" ? [a, b] : [b, a]
    return [new Preference({ prompt: a.prompt, chosen, rejected, weight, verdict })]
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
