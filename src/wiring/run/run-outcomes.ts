/** A run's work as a stream of its steps, and its summary. */
import { Cause, Deferred, Effect, Exit, Queue, Ref, Schema, Stream } from "effect"
import type { RunFolder } from "../../run/folder.ts"
import type { Summary } from "../../run/summary.ts"
import type { StepOutcome } from "../../steps/metrics.ts"

/** The run was stopped before its last step, so it has no summary. The message says how to continue. */
export class RunStopped extends Schema.TaggedError<RunStopped>()("RunStopped", {
  message: Schema.String
}) {}

export interface Outcomes<E> {
  /**
   * Each step after it was trained and stored; the stream ends when the report is written. Pulling it drives the run,
   * which is at most two steps ahead. When the consumer stops pulling, the run stops as with Ctrl-C, and can be
   * resumed. It runs once; pulled a second time, it has no elements.
   */
  readonly outcomes: Stream.Stream<StepOutcome, E | RunStopped>
  /** Runs the steps that nobody pulls, waits for the end, and returns the run's summary. */
  readonly summary: Effect.Effect<Summary, E | RunStopped>
}

/** @param work the whole run; it waits for each call of the function it is given, and that wait may be interrupted */
export const outcomesOf = Effect.fnUntraced(function*<E>(
  run: RunFolder,
  work: (onStep: (outcome: StepOutcome) => Effect.Effect<void>) => Effect.Effect<Summary, E>
) {
  const ended = yield* Deferred.make<Summary, E | RunStopped>()
  const begun = yield* Ref.make(false)
  const stopped = new RunStopped({ message: `${run.path} was stopped before its last step: it continues with --resume, in code with \`resume\`.` })
  const end = (exit: Exit.Exit<Summary, E>) =>
    Deferred.done(ended, Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? Exit.fail(stopped) : exit)
  const once = Stream.callback<StepOutcome, E | RunStopped>(
    (queue) =>
      work((outcome) => Effect.asVoid(Effect.interruptible(Queue.offer(queue, outcome)))).pipe(
        Effect.onExit(end),
        Effect.andThen(Queue.end(queue)),
        // A run that a person stopped ends its stream; it does not interrupt who reads that.
        Effect.catchCauseIf(Cause.hasInterruptsOnly, () => Queue.fail(queue, stopped))
      ),
    { bufferSize: 1, strategy: "suspend" }
  )
  const outcomes = Stream.unwrap(
    Effect.map(Ref.getAndSet(begun, true), (before) => before ? Stream.fromEffectDrain(Deferred.await(ended)) : once)
  )
  return { outcomes, summary: Effect.andThen(Stream.runDrain(outcomes), Deferred.await(ended)) } satisfies Outcomes<E> as Outcomes<E>
})
