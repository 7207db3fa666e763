/**
 * One run from the first drawing to the report: draw the held-out prompts with the untrained policy, train, draw them
 * again with equal seeds, compare, write the run folder. Interrupted, it leaves a checkpoint of the last step.
 */
import * as fs from "node:fs"
import { Clock, Effect, Ref, Stream } from "effect"
import type { Base } from "./adapter.ts"
import type { PipelineConfig } from "./config-pipeline.ts"
import type { Drawing, Preference, StepReport } from "./domain.ts"
import {
  compare,
  type Comparison,
  diversity,
  drawHeldOut,
  meanLength,
  type Scorer,
  validity,
  winRate
} from "./evaluation.ts"
import { writeFile } from "./files.ts"
import { modelCard } from "./model-card.ts"
import type { LoraConfig } from "./numerics/parameters.ts"
import { train } from "./pipeline.ts"
import type { Progress } from "./progress.ts"
import type { PromptSet } from "./prompts.ts"
import { appendMetrics, preferenceRow, type RunFolder, writeAdapter, writeCheckpoint } from "./run-folder.ts"
import { Optimizer } from "./stages/Optimizer.ts"
import { Policy } from "./stages/Policy.ts"
import type { Alarm, Summary } from "./summary.ts"
import { agreements, makeAlarm, makeLengthAlarm, metricOf } from "./trust.ts"

export interface TrainingRunOptions {
  readonly pipeline: PipelineConfig
  readonly prompts: PromptSet
  readonly run: RunFolder
  readonly lora: LoraConfig | undefined
  readonly base: Base
  /** The first one's win rate is the run's; none of them may be the training judge. */
  readonly scorers: ReadonlyArray<Scorer>
  /** Pairs a step on which the training judge is compared with the scorers; 0 compares none. */
  readonly trustPairs: number
  /** Steps between checkpoints. */
  readonly saveSteps: number
  readonly progress: Progress
  /** Called with each step's line of metrics.jsonl. */
  readonly onStep: (report: StepReport) => Effect.Effect<void>
}

export interface RunResult {
  readonly summary: Summary
  readonly reports: ReadonlyArray<StepReport>
  readonly before: ReadonlyArray<Drawing>
  readonly after: ReadonlyArray<Drawing>
  /** By the first scorer, in the order of the held-out prompts; undefined where it cannot judge. */
  readonly comparisons: ReadonlyArray<Comparison | undefined>
}

/** The metrics that count faults, summed over the steps; zero ones are left out. */
const faultsOf = (reports: ReadonlyArray<StepReport>): Record<string, number> => {
  const sums: Record<string, number> = {}
  for (const { metrics } of reports) {
    for (const [name, value] of Object.entries(metrics)) {
      if (!/^(svg\/(rejected|killed)\/|judge\/failed|pairs\/(invalid|stale))/.test(name) || value === 0) continue
      sums[name] = (sums[name] ?? 0) + value
    }
  }
  return sums
}

const total = (reports: ReadonlyArray<StepReport>, name: string): number =>
  reports.reduce((n, { metrics }) => n + (metrics[name] ?? 0), 0)

export const runTraining = Effect.fn("runTraining")(function*(o: TrainingRunOptions) {
  const policy = yield* Policy
  const optimizer = yield* Optimizer
  const started = yield* Clock.currentTimeMillis
  const reports = yield* Ref.make<ReadonlyArray<StepReport>>([])
  const alarms = yield* Ref.make<ReadonlyArray<Alarm>>([])
  const [alarm, lengthAlarm] = [makeAlarm(), makeLengthAlarm()]
  const drawing = { seed: o.pipeline.seed, promptsPerBatch: o.pipeline.promptsPerBatch * o.pipeline.k }

  if (o.prompts.heldOut.length > 0) {
    yield* o.progress.note(`Drawing ${o.prompts.heldOut.length} held-out prompts with the policy as it starts ...`)
  }
  const before = yield* drawHeldOut(o.prompts.heldOut, yield* policy.latest, drawing)

  const checkpoint = Effect.gen(function*() {
    return yield* writeCheckpoint(o.run, yield* optimizer.state, o.lora, o.base)
  })
  const line = (preference: Preference) => JSON.stringify(preferenceRow(preference)) + "\n"
  yield* train(o.pipeline, o.prompts.train).pipe(
    Stream.runForEach((outcome) =>
      Effect.gen(function*() {
        const { policyVersion, rollout, step } = outcome
        const trust = yield* agreements(o.scorers, rollout, o.trustPairs, o.pipeline.seed)
        const metrics = { ...outcome.metrics, ...Object.fromEntries(trust.map((agreement) => [metricOf(agreement), agreement.tau])) }
        const report: StepReport = { step, policyVersion, metrics }
        yield* appendMetrics(o.run, report)
        yield* Effect.sync(() => fs.appendFileSync(o.run.file("preferences.jsonl"), rollout.preferences.map(line).join("")))
        yield* Ref.update(reports, (known) => [...known, report])
        yield* o.onStep(report)
        if ((step + 1) % o.saveSteps === 0 && step + 1 < o.pipeline.steps) yield* checkpoint
        yield* o.progress.tick(step + 1, describe(metrics))
        const warnings = [...trust.map(alarm), lengthAlarm(metrics["svg/length"])].filter((message) => message !== undefined)
        if (warnings.length > 0) {
          yield* Ref.update(alarms, (known) => [...known, ...warnings.map((message) => ({ step, message }))])
          yield* Effect.forEach(warnings, o.progress.note)
        }
      })
    ),
    // Ctrl-C, a budget that is spent, a key that was withdrawn: what was learned so far is kept.
    Effect.onError(() =>
      Effect.gen(function*() {
        const kept = yield* checkpoint
        const done = (yield* Ref.get(reports)).length
        yield* o.progress.note(`Stopped after step ${done}. ${kept} holds the adapter and the optimizer's state.`)
      }).pipe(Effect.ignore)
    )
  )
  yield* o.progress.end
  yield* checkpoint

  const after = yield* drawHeldOut(o.prompts.heldOut, yield* policy.latest, drawing)
  const compared: Array<ReadonlyArray<Comparison | undefined>> = []
  for (const scorer of o.scorers) {
    compared.push(yield* Effect.forEach(before, (drawing, n) => compare(scorer, drawing, after[n]!)))
  }
  const rates = o.scorers.map(({ name }, i) =>
    winRate(name, compared[i]!.filter((comparison) => comparison !== undefined))
  ).filter(({ n }) => n > 0)
  const known = yield* Ref.get(reports)
  const ended = yield* Clock.currentTimeMillis
  const summary: Summary = {
    steps: known.length,
    pairs: total(known, "pairs/trained"),
    seconds: (ended - started) / 1000,
    winRate: rates[0] ?? winRate("none", []),
    otherWinRates: rates.slice(1),
    validity: { before: validity(before), after: validity(after) },
    diversity: { before: diversity(before), after: diversity(after) },
    length: { before: meanLength(before), after: meanLength(after) },
    costUsd: total(known, "judge/cost_usd"),
    faults: faultsOf(known),
    alarms: yield* Ref.get(alarms)
  }
  yield* writeAdapter(o.run, yield* optimizer.state, o.lora, o.base, modelCard(summary, o.base))
  yield* writeFile(o.run.file("summary.json"), JSON.stringify(summary, null, 2) + "\n")
  const first = o.scorers.findIndex(({ name }) => name === summary.winRate.scorer)
  return {
    summary,
    reports: known,
    before,
    after,
    comparisons: compared[first] ?? before.map(() => undefined)
  } satisfies RunResult as RunResult
})

const describe = (metrics: Readonly<Record<string, number>>): string => {
  const show = (label: string, name: string, digits = 2) =>
    metrics[name] === undefined ? [] : [`${label} ${metrics[name].toFixed(digits)}`]
  return [
    ...show("loss", "loss", 3),
    ...show("margin", "rewards/margins"),
    ...show("valid", "svg/valid"),
    ...show("pairs", "pairs/trained", 0)
  ].join("  ")
}
