/**
 * Sampler, Renderer and Judge of a run whose work is spread over runners: each call becomes workflows (work.ts) that any runner
 * carries out with its own sampler, renderer and judge (runner.ts).
 */
import { Effect, Layer } from "effect"
import { WorkflowEngine } from "effect/workflow"
import type { Candidate, Picture, Prompt } from "../../src/domain.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { Renderer } from "../../src/stages/Renderer.ts"
import { Sampler, type SampleRequest } from "../../src/stages/Sampler.ts"
import { type Asking, hashOf } from "./asking.ts"
import { makePolicyWriter } from "./policy-files.ts"
import { Compare, Render, Sample } from "./work.ts"

export interface SpreadOptions {
  /** The run's identity. */
  readonly run: string
  /** The run's folder. */
  readonly folder: string
  readonly asking: Asking
}

/** A call of the sampler becomes at most this many pieces of work: more runners than that do not make it faster. */
const pieces = 4

const parted = (prompts: ReadonlyArray<Prompt>): ReadonlyArray<ReadonlyArray<Prompt>> => {
  const size = Math.ceil(prompts.length / pieces)
  return Array.from({ length: Math.ceil(prompts.length / Math.max(1, size)) }, (_, n) => prompts.slice(n * size, (n + 1) * size))
}

/** Where a run's sampler draws the same whatever is drawn beside it, this draws the same too. */
export const sampler = ({ asking, folder, run }: SpreadOptions) =>
  Layer.effect(
    Sampler,
    Effect.gen(function*() {
      const local = yield* Sampler
      const engine = yield* Effect.context<WorkflowEngine.WorkflowEngine>()
      const writer = makePolicyWriter(folder)
      const sample = ({ form, k, policy, prompts, seed, step, temperature }: SampleRequest) =>
        writer.use(policy, (file) => {
          const rest = { k, seed, step, policy: file, ...(temperature === undefined ? {} : { temperature }), ...(form === undefined ? {} : { form }) }
          return Effect.forEach(parted(prompts), (some) =>
            asking(hashOf("sample", run, rest, some), (asked) => Sample.execute({ ...asked, ...rest, prompts: some })), { concurrency: "unbounded" })
        }).pipe(Effect.map((drawn): ReadonlyArray<ReadonlyArray<Candidate>> => drawn.flat()), Effect.provideContext(engine))
      return Sampler.of({ ...local, sample: Effect.fn("Sampler.sample")(sample) })
    })
  )

export const renderer = ({ asking, run }: SpreadOptions) =>
  Layer.effect(
    Renderer,
    Effect.gen(function*() {
      const { name, size } = yield* Renderer
      const engine = yield* Effect.context<WorkflowEngine.WorkflowEngine>()
      return Renderer.of({
        name,
        size,
        render: (svg, { allowText = false } = {}) =>
          asking(hashOf("render", run, name, size, svg, allowText), (asked) => Render.execute({ ...asked, svg, allowText })).pipe(
            Effect.provideContext(engine)
          )
      })
    })
  )

/** Takes no more pairs at once than one runner would, so the limits that an account has are kept to. */
export const judge = ({ asking, run }: SpreadOptions) =>
  Layer.effect(
    Judge,
    Effect.gen(function*() {
      const local = yield* Judge
      const engine = yield* Effect.context<WorkflowEngine.WorkflowEngine>()
      const compare = (prompt: Prompt, pictures: ReadonlyArray<Picture>, together: boolean) =>
        asking(hashOf("judge", run, local.identity, prompt, together, pictures.map(({ hash }) => hash)), (asked) =>
          Compare.execute({ ...asked, prompt, pictures, together })).pipe(Effect.provideContext(engine))
      return Judge.of({
        ...local,
        compare: (prompt, a, b) => Effect.map(compare(prompt, [a, b], false), ([verdict]) => verdict!),
        ...(local.compareAll === undefined ? {} : { compareAll: (prompt: Prompt, pictures: ReadonlyArray<Picture>) => compare(prompt, pictures, true) })
      })
    })
  )
