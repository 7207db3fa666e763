/** Carries out work for the run with this process's own sampler, renderer and judge. */
import { Cause, Context, Effect, Layer, type Schema, Semaphore } from "effect"
import { Activity } from "effect/workflow"
import { Judge } from "../../src/stages/Judge.ts"
import { Renderer } from "../../src/stages/Renderer.ts"
import { Sampler } from "../../src/stages/Sampler.ts"
import { makePolicyReader } from "./policy-files.ts"
import { Compare, Render, type Result, Sample, WorkBroken } from "./work.ts"

/** Hears of each piece of work that this process has done. */
export const Done = Context.Reference<(kind: "sample" | "render" | "compare") => void>("vequinox/cluster/Done", { defaultValue: () => () => {} })

/** The result is stored before the activity is over, a failure too. @param result its schema */
const carriedOut = <S extends Schema.Top, A, E, R>(
  name: "sample" | "render" | "compare",
  result: S,
  life: number,
  work: Effect.Effect<A, E, R>
) =>
  Activity.make({
    name,
    success: result,
    execute: Effect.flatMap(Done, (done) =>
      work.pipe(
        Effect.map((value): Result<A, E> => ({ _tag: "Done", value })),
        Effect.catchCause((cause): Effect.Effect<Result<A, E>> => {
          if (Cause.hasInterrupts(cause)) return Effect.failCause(cause as Cause.Cause<never>) // the next runner does it
          const error = Cause.squash(cause)
          const message = error instanceof Error ? error.message : String(error)
          return Effect.succeed({ _tag: "Failed", life, error: Cause.hasDies(cause) ? new WorkBroken({ message }) : error as E })
        }),
        Effect.tap(() => Effect.sync(() => done(name)))
      )) as Effect.Effect<S["Type"], never, R>
  })

/**
 * The sampler draws one piece at a time, as it does for a pipeline of its own.
 * @param folder the run's, where the policy's versions are
 */
export const layer = (folder: string) =>
  Layer.unwrap(Effect.gen(function*() {
    const sampler = yield* Sampler
    const renderer = yield* Renderer
    const judge = yield* Judge
    const policyIn = makePolicyReader(folder)
    const drawing = yield* Semaphore.make(1)
    return Layer.mergeAll(
      Sample.toLayer(({ form, k, life, policy, prompts, seed, step, temperature }) =>
        carriedOut("sample", Sample.successSchema, life, Semaphore.withPermit(drawing)(
          Effect.flatMap(policyIn(policy), (policy) => sampler.sample({ form, k, policy, prompts, seed, step, temperature }))
        ))
      ),
      Render.toLayer(({ allowText, life, svg }) => carriedOut("render", Render.successSchema, life, renderer.render(svg, { allowText }))),
      Compare.toLayer(({ life, pictures, prompt, together }) =>
        carriedOut("compare", Compare.successSchema, life, together
          ? judge.compareAll!(prompt, pictures)
          : Effect.map(judge.compare(prompt, pictures[0]!, pictures[1]!), (verdict) => [verdict]))
      )
    )
  }))
