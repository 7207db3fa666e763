/** Carries out work for the run with this process's own sampler, renderer and judge. */
import { Cause, Context, Effect, Exit, Layer, Request, RequestResolver, type Schema, Semaphore } from "effect"
import type { Candidate } from "../../src/domain.ts"
import { Activity } from "effect/workflow"
import { Judge } from "../../src/stages/Judge.ts"
import { Renderer } from "../../src/stages/Renderer.ts"
import { Sampler, type SamplerFailed, type SampleRequest } from "../../src/stages/Sampler.ts"
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

class Piece extends Request.Class<
  { readonly request: SampleRequest; /** Equal for pieces of one call. */ readonly of: string },
  ReadonlyArray<ReadonlyArray<Candidate>>,
  SamplerFailed
> {}

/**
 * The sampler draws for one call at a time, as it does for a pipeline of its own. Pieces of a call that come to this runner at about
 * the same time are drawn together, which takes less time than one after the other.
 */
const drawing = Effect.map(Sampler, ({ sample }) => {
  const inTurn = Semaphore.makeUnsafe(1)
  const resolver = RequestResolver.makeGrouped<Piece, string>({
    key: ({ request }) => request.of,
    resolver: (pieces) =>
      Semaphore.withPermit(inTurn)(sample({ ...pieces[0].request.request, prompts: pieces.flatMap(({ request }) => request.request.prompts) })).pipe(
        Effect.map((drawn) => {
          let next = 0
          for (const piece of pieces) piece.completeUnsafe(Exit.succeed(drawn.slice(next, next += piece.request.request.prompts.length)))
        })
      )
  }).pipe(RequestResolver.setDelay("50 millis"))
  return (request: SampleRequest, of: string) => Effect.request(new Piece({ request, of }), resolver)
})

/**
 * @param folder the run's, where the policy's versions are
 */
export const layer = (folder: string) =>
  Layer.unwrap(Effect.gen(function*() {
    const draw = yield* drawing
    const renderer = yield* Renderer
    const judge = yield* Judge
    const policyIn = makePolicyReader(folder)
    return Layer.mergeAll(
      Sample.toLayer(({ form, k, life, policy, prompts, seed, step, temperature }) =>
        carriedOut("sample", Sample.successSchema, life, Effect.flatMap(policyIn(policy), (snapshot) =>
          draw({ form, k, policy: snapshot, prompts, seed, step, temperature }, JSON.stringify([policy, step, k, seed, temperature, form]))))
      ),
      Render.toLayer(({ allowText, life, svg }) => carriedOut("render", Render.successSchema, life, renderer.render(svg, { allowText }))),
      Compare.toLayer(({ life, pictures, prompt, together }) =>
        carriedOut("compare", Compare.successSchema, life, together
          ? judge.compareAll!(prompt, pictures)
          : Effect.map(judge.compare(prompt, pictures[0]!, pictures[1]!), (verdict) => [verdict]))
      )
    )
  }))
