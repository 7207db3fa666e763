/** The numbers of one step, under TRL's names where TRL has them. A mean over nothing is left out: JSON has no NaN. */
import { Clock, Effect, Ref } from "effect"
import { type Drawing, type JudgedPair, KillReason, type Lesson, RejectReason, type Rollout, type StepReport, type Verdict } from "../domain.ts"
import { deviation, type RewardOptions, rewardsOf } from "../lessons/advantage.ts"
import { allPairs, isDuplicate } from "../lessons/pairs.ts"
import { ageOf } from "../lessons/staleness.ts"
import type { LessonOptions } from "../lessons/options.ts"
import { hasCycle } from "../lessons/order.ts"
import type { Taken } from "../stages/PreferenceBuffer.ts"
import type { Optimized } from "./optimize.ts"

/** The result of one step of the run: a line of metrics.jsonl, and the rollout for the run folder. */
export interface StepOutcome extends StepReport {
  readonly rollout: Rollout
}

const count = <A>(items: ReadonlyArray<A>, test: (item: A) => boolean) => items.filter(test).length

const share = <A>(name: string, items: ReadonlyArray<A>, of: (item: A) => number): Record<string, number> =>
  items.length === 0 ? {} : { [name]: items.reduce((total, item) => total + of(item), 0) / items.length }

const byPrompt = (pairs: ReadonlyArray<JudgedPair>) => [...Map.groupBy(pairs, ({ a }) => a.prompt.id).values()]

const ended = (reason: string) => ({ rendering }: Drawing) =>
  rendering._tag !== "Rendered" && rendering.reason === reason

/** What the drawings of a step say by themselves. */
export const drawingMetrics = (drawings: ReadonlyArray<Drawing>): Record<string, number> => {
  const texts = new Set(drawings.map(({ candidate }) => candidate.svg))
  return {
    ...share("svg/valid", drawings, ({ rendering }) => rendering._tag === "Rendered" ? 1 : 0),
    ...share("svg/length", drawings, ({ candidate }) => candidate.completionIds.length),
    ...(drawings.length === 0 ? {} : { "svg/unique": texts.size / drawings.length }),
    ...share("val/contain_eos_token", drawings, ({ candidate }) => candidate.finish === "length" ? 0 : 1),
    // Sampled tokens only, so no padding is summed; the end-of-sequence token counts.
    ...share("objective/entropy", drawings, ({ candidate }) => -candidate.logps.reduce((total, x) => total + x, 0)),
    ...Object.fromEntries(RejectReason.literals.map((r) => [`svg/rejected/${r}`, count(drawings, ended(r))])),
    ...Object.fromEntries(KillReason.literals.map((r) => [`svg/killed/${r}`, count(drawings, ended(r))]))
  }
}

/** How far a quantized sampler's log-probabilities are from those of the policy that is trained: nats a token. */
const precisionMetrics = (drawings: ReadonlyArray<Drawing>): Record<string, number> => {
  const gaps = drawings.flatMap(({ candidate: { exactLogps = [], logps } }) =>
    exactLogps.map((exact, i) => Math.abs(exact - logps[i]!))
  )
  return gaps.length === 0 ? {} : {
    ...share("sampling/sampling_logp_difference/mean", gaps, (gap) => gap),
    "sampling/sampling_logp_difference/max": Math.max(...gaps)
  }
}

/** What drafts save: 1 if nothing was drafted right. */
const draftMetrics = (drawings: ReadonlyArray<Drawing>): Record<string, number> => {
  const drafted = drawings.flatMap(({ candidate: { completionIds, forwards } }) => forwards === undefined ? [] : [{ forwards, tokens: completionIds.length }])
  const total = (of: (drawing: (typeof drafted)[number]) => number) => drafted.reduce((n, drawing) => n + of(drawing), 0)
  return drafted.length === 0 ? {} : { "sampling/tokens_per_forward": total(({ tokens }) => tokens) / total(({ forwards }) => forwards) }
}

/** What the two orders of a pair say about the judge itself. */
const orderMetrics = (verdicts: ReadonlyArray<Verdict>): Record<string, number> => {
  const places = verdicts.flatMap((verdict) => (verdict.places === undefined ? [] : [verdict.places]))
  const decided = places.flat().filter((place) => place !== "tie")
  return {
    ...share("judge/swap_consistency", places.filter(({ length }) => length === 2), ([there, back]) =>
      (there === "tie" ? back === "tie" : back !== "tie" && there !== back) ? 1 : 0),
    ...share("judge/position_bias", decided, (place) => (place === "first" ? 0.5 : -0.5))
  }
}

/** Means over the drawings of the judged pairs, each in the term's own unit. */
const termMetrics = (verdicts: ReadonlyArray<Verdict>): Record<string, number> => {
  const told = verdicts.flatMap(({ terms = {} }) => Object.entries(terms).flatMap(([name, scores]) => scores.map((score) => [name, score] as const)))
  return Object.assign({}, ...[...Map.groupBy(told, ([name]) => name)].map(([name, own]) => share(`judge/terms/${name}`, own, ([, score]) => score)))
}

/**
 * A run that learns from preferences counts pairs; one that learns from advantages counts advantages, even in a step
 * that has none.
 */
const lessonMetrics = (learnsFrom: LessonOptions["lessons"], made: ReadonlyArray<Lesson>, { lessons, stale }: Taken, step: number): Record<string, number> => {
  const kind = learnsFrom === "advantages" ? "advantages" : "pairs"
  return {
    [kind === "pairs" ? "pairs/preferences" : "advantages/made"]: made.length,
    [`${kind}/trained`]: lessons.length,
    [`${kind}/stale`]: stale,
    ...share(`${kind}/age`, lessons, (lesson) => ageOf(lesson, step))
  }
}

/** What TRL's GRPOTrainer says of the rewards and lengths of a step. The step's deviation is over all its rewards. */
const rewardMetrics = (options: RewardOptions, pairs: ReadonlyArray<JudgedPair>, drawings: ReadonlyArray<Drawing>): Record<string, number> => {
  const groups = rewardsOf(options, byPrompt(pairs)).map((own) => own.map(({ reward }) => reward))
  const rewards = groups.flat()
  const lengths = (prefix: string, of: ReadonlyArray<Drawing>) => {
    const own = of.map(({ candidate }) => candidate.completionIds.length)
    return own.length === 0 ? {} : {
      ...share(`completions/mean_${prefix}length`, own, (length) => length),
      [`completions/min_${prefix}length`]: Math.min(...own),
      [`completions/max_${prefix}length`]: Math.max(...own)
    }
  }
  const truncated = ({ candidate }: Drawing): boolean => candidate.finish === "length"
  return {
    ...share("reward", rewards, (reward) => reward),
    ...(rewards.length === 0 ? {} : { reward_std: deviation(rewards) }),
    ...share("frac_reward_zero_std", groups.flatMap((own) => own.map(() => deviation(own))), (own) => (own < 1e-8 ? 1 : 0)),
    ...lengths("", drawings),
    ...lengths("terminated_", drawings.filter((drawing) => !truncated(drawing))),
    ...share("completions/clipped_ratio", drawings, (drawing) => (truncated(drawing) ? 1 : 0))
  }
}

/**
 * Names and units:
 *
 * - `seconds/*`: seconds of wall clock. `sample`, `render` and `judge` are summed over the batches of the rollout;
 *   `step` is the time since the report before, `wait` the part of it in which the optimizer had nothing to do.
 * - `svg/length`: tokens. `objective/entropy`: nats a sequence. `svg/valid`, `svg/unique`, `val/*`: shares.
 * - `judge/cycle_rate`: share of prompts whose verdicts contradict one another. `judge/swap_consistency`: share of
 *   pairs whose two orders gave the same answer. `judge/position_bias`: share of verdicts for the first place, less one
 *   half.
 * - `judge/terms/*`: the mean score of a blend's term, in its own unit.
 * - `curriculum/*`: what the course of prompts says (curriculum/course.ts).
 * - `policyVersion`: the version the drawings come from.
 * - `sampling/sampling_logp_difference/*`: only if the sampler is quantized, measured on one candidate of each batch.
 *   `sampling/tokens_per_forward`: only with drafts, tokens drawn a forward of a candidate.
 * - `pairs/preferences`, `advantages/made`: made from this rollout. `.../trained`: came out of the buffer. `.../age`:
 *   versions.
 * - `reward*`, `frac_reward_zero_std`, `completions/*` (tokens): TRL's, only where advantages are learned from. A reward is a
 *   win rate, [0, 1], or in the unit of the judge's scores, and has its length reward in it.
 * - `trust/*`: only where the run ran away (evaluation/divergence.ts).
 *
 * The rest are counts.
 */
const outcomeOf = (
  { lessons: learnsFrom, ...options }: RewardOptions & Pick<LessonOptions, "lessons">,
  { metrics, rollout, taken, trainSeconds }: Optimized,
  clock: { readonly step: number; readonly wait: number }
): StepOutcome => {
  const { courseMetrics, drawings, lessons, pairs, policyVersion, seconds, step } = rollout
  const verdicts = pairs.map(({ verdict }) => verdict)
  const asked = verdicts.filter(({ by }) => by !== "gate")
  const possible = [...Map.groupBy(drawings, ({ candidate }) => candidate.prompt.id).values()].flatMap(allPairs)
  return {
    step,
    policyVersion,
    rollout,
    metrics: {
      ...metrics,
      step,
      policyVersion,
      ...courseMetrics,
      "judge/asked": asked.length,
      "judge/ties": count(asked, ({ outcome }) => outcome === "tie"),
      ...Object.fromEntries([...Map.groupBy(asked, ({ by }) => by)].map(([by, own]) => [`judge/by/${by}`, own.length])),
      "judge/failed": count(asked, ({ outcome }) => outcome === "failed"),
      ...orderMetrics(asked),
      ...termMetrics(asked),
      ...share("judge/tie_rate", asked.filter(({ outcome }) => outcome !== "failed"), ({ outcome }) => outcome === "tie" ? 1 : 0),
      ...share("judge/cycle_rate", byPrompt(pairs), (own) => (hasCycle(own) ? 1 : 0)),
      ...share("judge/confidence", asked.filter(({ outcome }) => outcome !== "failed"), ({ confidence }) => confidence),
      "judge/cost_usd": asked.reduce((total, { costUsd = 0 }) => total + costUsd, 0),
      ...drawingMetrics(drawings),
      ...precisionMetrics(drawings),
      ...draftMetrics(drawings),
      "pairs/total": possible.length,
      "pairs/duplicate": count(possible, isDuplicate),
      "pairs/invalid": count(verdicts, ({ outcome }) => outcome === "invalid"),
      "pairs/gate": count(verdicts, ({ by, outcome }) => by === "gate" && outcome !== "invalid"),
      ...lessonMetrics(learnsFrom, lessons, taken, step),
      ...(learnsFrom === "advantages" ? rewardMetrics(options, pairs, drawings) : {}),
      "seconds/sample": seconds.sample,
      "seconds/render": seconds.render,
      "seconds/judge": seconds.judge,
      "seconds/train": trainSeconds,
      "seconds/step": clock.step,
      "seconds/wait": clock.wait
    }
  }
}

/** Turns the optimizer's steps into outcomes and times them. Make one for each run, at its start. */
export const makeReport = Effect.fnUntraced(function*(options: Pick<LessonOptions, "k" | "lessons" | "reward">) {
  const reported = yield* Ref.make(yield* Clock.currentTimeMillis)
  return Effect.fnUntraced(function*<E, R>(work: Effect.Effect<Optimized, E, R>) {
    const before = yield* Ref.get(reported)
    const started = yield* Clock.currentTimeMillis
    const optimized = yield* work
    const ended = yield* Clock.currentTimeMillis
    yield* Ref.set(reported, ended)
    return outcomeOf(options, optimized, { step: (ended - before) / 1000, wait: (started - before) / 1000 })
  })
})
