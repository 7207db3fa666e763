/**
 * The optimizer of a run that is spread: a singleton of the cluster, so one runner has it, and another where that one
 * ends. It is the run as `vequinox train --resume` opens it, except that any runner draws, renders and judges for it. Each
 * time it begins is a life, with a number from the lock that it holds (layers/postgres/hold-run.ts).
 *
 * A runner that joins may be given the singleton; the run then goes on there from a checkpoint written for that.
 */
import { Cause, type Context, Effect, Exit, Layer, Schedule, Stream } from "effect"
import { Singleton } from "effect/cluster"
import { type WorkflowEngine } from "effect/workflow"
import { makeAsking } from "../../../layers/cluster/asking.ts"
import * as spread from "../../../layers/cluster/stages.ts"
import { RunPostgres } from "../../../layers/postgres/run-postgres.ts"
import { isWorked } from "../../../layers/store/run-lock.ts"
import type { StepReport } from "../../domain.ts"
import { betterThanStart } from "../../evaluation/worse-than-start.ts"
import type { RunFolder } from "../../run/folder.ts"
import type { Summary } from "../../run/summary.ts"
import { Judge } from "../../stages/Judge.ts"
import { Renderer } from "../../stages/Renderer.ts"
import { Sampler, SamplerFailed } from "../../stages/Sampler.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { openRun, type Say } from "../run/open-run.ts"
import { joinCommand } from "../run/resume.ts"
import { tellEnd } from "./end.ts"

export interface OptimizerOptions {
  readonly folder: RunFolder
  /** The run's identity. */
  readonly run: string
  readonly style: ProgressStyle
  readonly say: Say
  /** Called with each step that this runner trained. */
  readonly onStep: (report: StepReport) => Effect.Effect<void>
  /** Called when this runner has trained the last step. */
  readonly onSummary: (summary: Summary, folder: string) => Effect.Effect<void>
  /** Called when this runner begins to train, and when it no longer does. */
  readonly onHolding: (holds: boolean) => Effect.Effect<void>
}

type Local = Sampler | Renderer | Judge | WorkflowEngine.WorkflowEngine | RunPostgres

/** The number of this life: the run is held by this process when it is asked. */
const life = Effect.flatMap(RunPostgres, ({ read, run }) => read(({ rows }) => rows("SELECT holds FROM runs WHERE id = $1", [run]))).pipe(
  Effect.map(([row]) => Number(row!["holds"])),
  Effect.mapError(({ message }) => new SamplerFailed({ message }))
)

const elsewhere = ({ folder, run }: OptimizerOptions, local: Context.Context<Local>) => {
  const layerOf = <S, E, R extends Local>(make: (options: spread.SpreadOptions) => Layer.Layer<S, E, R>) =>
    Layer.unwrap(Effect.map(life, (life) => make({ run, folder: folder.path, asking: makeAsking(life) }))).pipe(Layer.provide(Layer.succeedContext(local)))
  return { sampler: layerOf(spread.sampler), renderer: layerOf(spread.renderer), judge: layerOf(spread.judge) }
}

/** The process before may take a moment to be gone. */
const untilFree = ({ folder }: OptimizerOptions) =>
  Effect.sync(() => isWorked(folder)).pipe(
    Effect.repeat({ until: (worked) => !worked, schedule: Schedule.upTo(Schedule.spaced("200 millis"), { duration: "10 seconds" }) })
  )

const train = Effect.fnUntraced(function*(o: OptimizerOptions, local: Context.Context<Local>) {
  yield* untilFree(o)
  const run = yield* openRun({
    given: {},
    resume: o.folder.path,
    layers: {},
    elsewhere: elsewhere(o, local),
    goOn: (run) => `If no other runner is left: ${joinCommand(run)}`,
    style: o.style
  }, o.say)
  yield* Stream.runForEach(run.outcomes, o.onStep)
  const summary = yield* run.summary
  yield* o.onSummary(summary, run.folder)
  return summary.stopped !== undefined && !betterThanStart(summary) ? summary.stopped : undefined
})

const messageOf = (error: unknown): string => error instanceof Error && error.message !== "" ? error.message : String(error)

/** Whatever ends the run, but an interruption, is told to all runners. */
export const layer = (o: OptimizerOptions) =>
  Layer.unwrap(Effect.map(Effect.context<Local>(), (local) =>
    Singleton.make(
      "optimizer",
      Effect.acquireUseRelease(
        o.onHolding(true),
        () =>
          Effect.scoped(train(o, local)).pipe(
            Effect.exit,
            Effect.flatMap((exit) =>
              Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
                ? Effect.failCause(exit.cause)
                : tellEnd(Exit.isSuccess(exit) ? exit.value : messageOf(Cause.squash(exit.cause)))
            )
          ),
        () => o.onHolding(false)
      )
    )))
