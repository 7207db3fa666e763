/**
 * One run from the first drawing to the report: train, compare the trained policy with the untrained one, write the run
 * folder. After a stop at any instant, the run continues from its newest
 * checkpoint to the same adapter, bit for bit: everything drawn, judged and reported since is made again, from stored
 * judgments.
 */
import { Clock, Effect, Ref, Stream } from "effect"
import type { Base } from "../model/adapter.ts"
import { keepOnly, pruned, writeCheckpoint } from "./checkpoints.ts"
import type { PipelineConfig } from "../steps/config.ts"
import { type Alarm, isPreference, stageMetric, type StepReport } from "../domain.ts"
import { evaluate, type Evaluation, type EvaluationOptions } from "../evaluation/evaluate.ts"
import { writeFile } from "../system/files.ts"
import { stopOf, stoppedMetric } from "../evaluation/divergence.ts"
import { failedInARow, failuresAfter, watchJudge } from "../evaluation/judge-watch.ts"
import { completionRows } from "../steps/completions.ts"
import type { StepOutcome } from "../steps/metrics.ts"
import { type Kept, makeStepBack, type StepBackOptions } from "../steps/step-back.ts"
import { modelCard } from "./model-card.ts"
import type { LossType } from "../objectives/objectives.ts"
import type { LoraConfig } from "../engine/weights/parameters.ts"
import { train } from "../pipeline.ts"
import type { Progress } from "../system/progress.ts"
import type { PromptSet } from "../prompts.ts"
import { appendStep, rewriteSteps, type RunFolder, storedPreference, syncSteps, writeAdapter } from "./folder.ts"
import { Judge } from "../stages/Judge.ts"
import { Optimizer } from "../stages/Optimizer.ts"
import { makeCourse, type Stage, type Told } from "../curriculum/course.ts"
import { Policy, type PolicySnapshot } from "../stages/Policy.ts"
import type { Scorer } from "../stages/Scorer.ts"
import { RunState, type StoredReport } from "../stages/RunState.ts"
import { Steering } from "../stages/Steering.ts"
import { Storage } from "../stages/Storage.ts"
import type { Summary } from "./summary.ts"
import { agreements, makeAlarms, metricOf } from "../evaluation/trust.ts"
import { worseThanStart } from "../evaluation/worse-than-start.ts"
import { Judgments } from "../stages/Judgments.ts"
import { droppedMetric, mostAgain, Tracker } from "../stages/Tracker.ts"

export interface TrainingRunOptions {
  readonly pipeline: PipelineConfig
  readonly prompts: PromptSet
  /** Stages of the training prompts; undefined trains all of them from the beginning. */
  readonly curriculum?: ReadonlyArray<Stage> | undefined
  readonly run: RunFolder
  /** What the optimizer minimises; `pipeline.lessons` says what it learns from. */
  readonly objective: LossType
  readonly lora: LoraConfig | undefined
  readonly base: Base
  /** The policy as the run began, version 0. */
  readonly initial: PolicySnapshot
  /**
   * The committed checkpoint that the stages were made from, `pipeline.firstStep` steps old; undefined at the
   * beginning.
   */
  readonly from: { readonly seconds: number; readonly kept?: Kept | undefined } | undefined
  /** What happens where the run runs away. Default: it steps back, to states kept in memory. */
  readonly stepBack?: (Pick<StepBackOptions, "keeps" | "likelihood" | "onDivergence"> & {
    /** Losses of pairs are weighed by what the policy has become sure of, so they grow while it learns. */
    readonly weighed?: boolean
  }) | undefined
  /** They compare the policies at the end, and check the judge meanwhile; none of them may be the training judge. */
  readonly scorers: ReadonlyArray<Scorer>
  readonly evaluation: Pick<EvaluationOptions, "temperatures" | "bestOf" | "progress">
  /** Pairs a step on which the training judge is compared with the scorers; 0 compares none. */
  readonly trustPairs: number
  /** Steps between checkpoints. */
  readonly saveSteps: number
  /** How many checkpoints are kept; 0 keeps all. */
  readonly saveTotalLimit: number
  readonly progress: Progress
  /** Called with each step once it is stored, with the metrics of its line in metrics.jsonl. */
  readonly onStep: (outcome: StepOutcome) => Effect.Effect<void>
}

export interface RunResult {
  readonly summary: Summary
  readonly reports: ReadonlyArray<StepReport>
  readonly greedy: Evaluation["greedy"]
}

/** The metrics that count faults, summed over the steps, without those that are zero. */
export const faultsOf = (reports: ReadonlyArray<StepReport>): Record<string, number> => {
  const sums: Record<string, number> = {}
  for (const { metrics } of reports) {
    for (const [name, value] of Object.entries(metrics)) {
      if (!/^(svg\/(rejected|killed)\/|judge\/failed|tracker\/|storage\/failed|pairs\/invalid|(pairs|advantages)\/stale)/.test(name) || value === 0) continue
      sums[name] = (sums[name] ?? 0) + value
    }
  }
  return sums
}

/** A metric summed over the steps. */
export const total = (reports: ReadonlyArray<StepReport>, name: string): number =>
  reports.reduce((n, { metrics }) => n + (metrics[name] ?? 0), 0)

const droppedMetrics = (dropped: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(dropped).map(([name, count]) => [droppedMetric(name), count]))

/** Counts added up name by name. */
const added = (a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries([...new Set([...Object.keys(a), ...Object.keys(b)])].map((name) => [name, (a[name] ?? 0) + (b[name] ?? 0)]))

/** What trackers are told of the comparison at the end. */
const endMetrics = ({ costUsd, diversity, learning, seconds, validity, winRate }: Omit<Summary, "alarms">): Record<string, number> => ({
  ...(winRate.n === 0 ? {} : { "eval/win_rate": winRate.value, "eval/win_rate_lower": winRate.lower, "eval/win_rate_upper": winRate.upper }),
  ...(learning === null ? {} : {
    "eval/validity_before": validity.before,
    "eval/validity_after": validity.after,
    "eval/diversity_before": diversity.before,
    "eval/diversity_after": diversity.after
  }),
  "run/cost_usd": costUsd,
  "run/seconds": seconds
})

const alarming = (told: ReadonlyArray<Told>): ReadonlyArray<Alarm> =>
  told.flatMap(({ alarming, message, step }) => alarming ? [{ step, message }] : [])

/** Prompts that the judge is asked about before the prompts widen, if they do. */
const fewestPrompts = ({ curriculum, prompts }: TrainingRunOptions): number =>
  Math.min(...(curriculum ?? [{ prompts: prompts.train }]).map(({ prompts }) => prompts.length))

/** Goes back to the checkpoint that the stages were made from, and forgets everything after it. */
const goBack = Effect.fnUntraced(function*({ pipeline: { firstStep }, run }: TrainingRunOptions) {
  const state = yield* RunState
  yield* state.rewind(firstStep)
  yield* keepOnly(run, yield* state.checkpoints)
  yield* rewriteSteps(run)
  return yield* state.reports
})

/** Trains and compares, step by step told to the run's tracker. */
const trainAndCompare = Effect.fn("runTraining")(function*(o: TrainingRunOptions) {
  const tracker = yield* Tracker
  const { name: judgeName } = yield* Judge
  const policy = yield* Policy
  const optimizer = yield* Optimizer
  const state = yield* RunState
  const { betweenSteps } = yield* Steering
  const storage = yield* Storage
  const { firstStep, maxStaleness } = o.pipeline
  const started = yield* Clock.currentTimeMillis
  const seconds = Effect.map(Clock.currentTimeMillis, (now) => (o.from?.seconds ?? 0) + (now - started) / 1000)
  const known = yield* goBack(o)
  for (const { metrics, step } of known.slice(-mostAgain)) {
    yield* tracker.step({ kind: "again", step, time: started, metrics, completions: () => [] })
  }
  const reports = yield* Ref.make<ReadonlyArray<StepReport>>(known)
  const { guard, kept } = yield* makeStepBack({
    ...o.stepBack ?? { onDivergence: "step-back", keeps: true },
    drawings: Math.min(o.pipeline.promptsPerStep, fewestPrompts(o)) * o.pipeline.k,
    losses: o.pipeline.lessons === "preferences" && o.stepBack?.weighed !== true,
    start: o.initial,
    reports: known,
    kept: o.from?.kept
  })
  const alarmsOf = makeAlarms()
  const curriculum = o.curriculum === undefined
    ? undefined
    : yield* makeCourse({ stages: o.curriculum, config: o.pipeline, scorers: o.scorers, past: known })
  const alarms = yield* Ref.make<ReadonlyArray<Alarm>>(
    [...known.flatMap(alarmsOf), ...alarming(curriculum?.toldBefore ?? [])].toSorted((a, b) => a.step - b.step)
  )
  /** Says what happened in the curriculum, and remembers what is alarming. */
  const tell = (told: ReadonlyArray<Told>) =>
    Effect.andThen(
      Effect.forEach(told, ({ message, step }) => o.progress.note(`Step ${step + 1}. ${message}`), { discard: true }),
      Ref.update(alarms, (known) => [...known, ...alarming(told)])
    )
  const failures = yield* Ref.make(known.at(-1)?.metrics[failedInARow] ?? 0)
  const judge = yield* watchJudge({ before: yield* Ref.get(failures), prompts: fewestPrompts(o), note: o.progress.note })

  const committed = yield* Ref.make(o.from === undefined ? -1 : firstStep)
  /** Writes a checkpoint of the current parameters, unless the newest one already holds them. */
  const checkpoint = Effect.gen(function*() {
    const now = yield* optimizer.state
    if (now.version === (yield* Ref.get(committed))) return
    const oldest = Math.max(o.pipeline.oldestVersion ?? firstStep, now.version - maxStaleness)
    const earlier = yield* Effect.forEach(
      Array.from({ length: now.version - oldest }, (_, n) => oldest + n),
      policy.at
    )
    yield* syncSteps(o.run)
    const { sha256 } = yield* writeCheckpoint(o.run, { state: now, earlier, kept: yield* kept }, o.lora, o.base)
    const steps = (yield* state.checkpoints).map(({ step }) => step)
    yield* state.commit({ step: now.version, sha256, seconds: yield* seconds }, pruned(steps, o.saveTotalLimit))
    yield* Ref.set(committed, now.version)
    yield* keepOnly(o.run, yield* state.checkpoints)
    yield* storage.committed
  })
  const keep = Effect.fnUntraced(function*({ metrics: measured, policyVersion, rollout, step }: StepOutcome) {
    const trust = yield* agreements(o.scorers, rollout, o.trustPairs, o.pipeline.seed)
    const failed = yield* Ref.updateAndGet(failures, (before) => failuresAfter(before, rollout.pairs))
    const metrics = {
      ...measured,
      ...droppedMetrics(yield* tracker.dropped),
      ...yield* storage.metrics,
      ...(failed === 0 ? {} : { [failedInARow]: failed }),
      ...Object.fromEntries(trust.map((agreement) => [metricOf(agreement), agreement.tau]))
    }
    const report: StoredReport = { step, policyVersion, metrics, trust }
    yield* state.report(report)
    yield* appendStep(o.run, report, rollout.lessons.filter(isPreference).map(storedPreference))
    yield* Ref.update(reports, (known) => [...known, report])
    const time = yield* Clock.currentTimeMillis
    yield* tracker.step({ kind: "step", step, time, metrics, completions: () => completionRows(o.pipeline, judgeName, rollout) })
    yield* o.onStep({ step, policyVersion, metrics, rollout })
    if ((step + 1) % o.saveSteps === 0 && step + 1 < o.pipeline.steps) yield* checkpoint
    yield* o.progress.tick(step + 1, describe(metrics))
    const raised = alarmsOf(report)
    yield* Ref.update(alarms, (known) => [...known, ...raised])
    yield* Effect.forEach(raised, ({ message }) => o.progress.note(message))
    if (curriculum !== undefined) yield* tell(yield* curriculum.told(report))
  })
  const training = train(o.pipeline, curriculum?.course ?? o.prompts.train, keep, guard).pipe(
    Stream.takeUntil(({ metrics }) => metrics[stoppedMetric] === 1),
    Stream.tap(() => betweenSteps)
  )
  yield* (stopOf(known) === undefined ? training : Stream.empty).pipe(
    Stream.runDrain,
    Effect.provideService(Judgments, judge.watched),
    // On Ctrl-C, a spent budget or a revoked key, everything learned so far is kept.
    Effect.onError(() =>
      Effect.gen(function*() {
        const done = (yield* Ref.get(reports)).length
        yield* o.progress.note(`Stopped after step ${done}.`)
        if ((yield* optimizer.state).version === done) yield* checkpoint // otherwise that step has no report, and is made again
        // Otherwise a resumed run would read them, and stop again.
        if (yield* judge.stopped) yield* state.forgetFailures((yield* state.checkpoints)[0]?.step ?? 0)
      }).pipe(Effect.ignore)
    )
  )
  yield* o.progress.end
  const stopped = stopOf(yield* Ref.get(reports))
  if (curriculum !== undefined && stopped === undefined) yield* tell(yield* curriculum.toldAtTheEnd)
  yield* checkpoint

  const { evaluated, greedy } = yield* evaluate({
    ...o.evaluation,
    prompts: o.prompts,
    before: o.initial,
    after: yield* policy.latest,
    scorers: o.scorers,
    seed: o.pipeline.seed,
    atOnce: o.pipeline.promptsPerBatch * o.pipeline.k // as in training: Ctrl-C waits for a call of the sampler
  })
  const all = yield* Ref.get(reports)
  const measured: Omit<Summary, "alarms"> = {
    objective: o.objective,
    steps: all.length,
    pairs: total(all, "pairs/trained"),
    advantages: total(all, "advantages/trained"),
    seconds: yield* seconds,
    ...evaluated,
    costUsd: (yield* state.costUsd) ?? total(all, "judge/cost_usd"),
    faults: { ...faultsOf(all), ...yield* state.faults }
  }
  yield* tracker.step({
    kind: "end",
    step: all.length,
    time: yield* Clock.currentTimeMillis,
    metrics: endMetrics(measured),
    completions: () => []
  })
  return { all, alarms: yield* Ref.get(alarms), greedy, measured, stopped }
})

export const runTraining = Effect.fnUntraced(function*(o: TrainingRunOptions) {
  const tracker = yield* Tracker
  const { alarms, all, greedy, measured: before, stopped } = yield* tracker.around(trainAndCompare(o))
  yield* tracker.end
  const measured = { ...before, faults: added(before.faults, droppedMetrics(yield* tracker.dropped)) }
  const optimizer = yield* Optimizer
  const worse = worseThanStart(measured)
  const summary: Summary = {
    ...measured,
    ...(stopped === undefined ? {} : { stopped }),
    alarms: [...alarms, ...(worse === undefined ? [] : [{ step: all.length - 1, message: worse }])]
  }
  yield* writeAdapter(o.run, yield* optimizer.state, o.lora, o.base, modelCard(summary, o.base))
  yield* writeFile(o.run.file("summary.json"), JSON.stringify(summary, null, 2) + "\n")
  return { summary, reports: all, greedy } satisfies RunResult as RunResult
})

const describe = (metrics: Readonly<Record<string, number>>): string => {
  const show = (label: string, name: string, digits = 2) =>
    metrics[name] === undefined ? [] : [`${label} ${metrics[name].toFixed(digits)}`]
  return [
    ...show("stage", stageMetric, 0),
    ...show("loss", "loss", 3),
    ...show("margin", "rewards/margins"),
    ...show("valid", "svg/valid"),
    ...show("pairs", "pairs/trained", 0),
    ...show("advantages", "advantages/trained", 0)
  ].join("  ")
}
