/**
 * What a run would take on other machines: the real stream (src/pipeline.ts) on a clock of its own, with stages that only take
 * time. So its order, its queues and its staleness are those of a run.
 */
import { Clock, Context, Effect, Layer, Stream } from "effect"
import * as bufferMemory from "../../../layers/buffer/memory.ts"
import * as optimizerFake from "../../../layers/optimizer/fake.ts"
import * as rendererCircles from "../../../layers/renderer/circles.ts"
import * as samplerFake from "../../../layers/sampler/fake.ts"
import { Prompt, Verdict } from "../../domain.ts"
import { type PipelineConfig, type StepOutcome, train } from "../../pipeline.ts"
import { Judge } from "../../stages/Judge.ts"
import { Optimizer } from "../../stages/Optimizer.ts"
import { Policy } from "../../stages/Policy.ts"
import { Renderer } from "../../stages/Renderer.ts"
import { Sampler } from "../../stages/Sampler.ts"
import { makeCores, unshared } from "./cores.ts"
import { inVirtualTime } from "./virtual-clock.ts"

/** What one machine takes for the work of a stage, alone. */
export interface Costs {
  /** Seconds of a batch of n drawings on one sampler: `fixed + each * n`. */
  readonly sample: { readonly fixed: number; readonly each: number }
  /** Seconds a drawing. */
  readonly render: number
  /** Seconds an answer. */
  readonly judge: number
  /** Seconds a lesson. */
  readonly train: number
}

export interface Machines {
  /** Each draws an equal share of a batch; >= 1. */
  readonly samplers: number
  /** Questions that all judges together answer at the same time; >= 1. */
  readonly judgments: number
  /** Questions a minute that the judges take; Infinity: no limit. */
  readonly judgmentsPerMinute: number
  /** Cores that the samplers, the renderer, the trainer and, if it is local, the judge share; undefined: each has its own. */
  readonly cores: number | undefined
  /** Whether the judge computes on these cores. An answer from elsewhere takes its seconds whatever is done here. */
  readonly judgeLocal: boolean
}

/** Shares of the time in which all machines of a stage work, in [0, 1]; with shared cores, in which they would work alone. */
export type Busy = Readonly<Record<"sample" | "render" | "judge" | "train", number>>

export interface Simulated {
  /** Between two steps, once the stream is full. */
  readonly secondsAStep: number
  /** Questions to the judge, and lessons trained, a step. */
  readonly judgmentsAStep: number
  readonly lessonsAStep: number
  readonly busy: Busy
  /** Share of the shared cores' time in which they work, in [0, 1]; undefined without such. */
  readonly cores: number | undefined
  /** The busiest stage, or the cores where they are busier. */
  readonly bottleneck: keyof Busy | "cores"
  /** Mean versions that a lesson is behind when it is trained. */
  readonly staleness: number
}

/** Steps that are measured, after those that fill the stream. */
const measured = 12

/** The service of a layer, with its work done by `changed`. */
const slowly = <I, S>(tag: Context.Key<I, S>, of: Layer.Layer<I>, changed: (service: S) => S): Layer.Layer<I> =>
  Layer.effect(tag, Effect.map(tag, changed)).pipe(Layer.provide(of))

/** No step has a prompt twice, and two steps differ. */
const promptsFor = (count: number) => Array.from({ length: 2 * count }, (_, n) => new Prompt({ id: `${n}`, text: `thing ${n}` }))

/** Lets one through every so many milliseconds, in the order in which they came. */
const makeTurnstile = (perMinute: number) => {
  let next = 0
  return Effect.gen(function*() {
    if (perMinute === Infinity) return
    const now = yield* Clock.currentTimeMillis
    const mine = Math.max(now, next)
    next = mine + 60_000 / perMinute
    yield* Effect.sleep(mine - now)
  })
}

/** Pure in its arguments. */
export const simulate = Effect.fn("simulate")(function*(costs: Costs, machines: Machines, settings: PipelineConfig) {
  const { judgments, samplers } = machines
  const { maxStaleness, promptsPerStep } = settings
  const cores = machines.cores === undefined ? unshared : yield* makeCores(machines.cores)
  /** Seconds of work, of one machine each. */
  const spent = { sample: 0, render: 0, judge: 0, train: 0 }
  const work = (stage: keyof typeof spent, seconds: number) =>
    Effect.suspend(() => {
      spent[stage] += seconds
      return stage === "judge" && !machines.judgeLocal ? Effect.sleep(1000 * seconds) : cores.work(seconds)
    })

  const initial = samplerFake.initialPolicy(0.5)
  const sampler = slowly(Sampler, samplerFake.layer({ cutOff: 0 }), (plain) => ({
    ...plain,
    sample: (request) => {
      const each = costs.sample.fixed + costs.sample.each * request.k * request.prompts.length / samplers
      const all = Effect.all(Array.from({ length: samplers }, () => work("sample", each)), { concurrency: "unbounded", discard: true })
      return Effect.andThen(all, plain.sample(request))
    }
  }))
  const renderer = slowly(Renderer, rendererCircles.layer({ size: 128 }), (plain) => ({ // fine enough that no two drawings look the same
    ...plain,
    render: (...asked) => Effect.andThen(work("render", costs.render), plain.render(...asked))
  }))
  const turn = makeTurnstile(machines.judgmentsPerMinute)
  const judge = Layer.succeed(Judge, {
    name: "simulated",
    identity: "simulated",
    concurrency: judgments,
    compare: (_, a, b) =>
      Effect.andThen(turn, Effect.as(work("judge", costs.judge), new Verdict({ outcome: a.hash > b.hash ? "A" : "B", confidence: 1, by: "simulated" })))
  })
  const optimizer = slowly(Optimizer, optimizerFake.layer({ initial, rate: 1e-9 }), (plain) => ({
    ...plain,
    step: (lessons) => Effect.andThen(work("train", costs.train * lessons.length), plain.step(lessons))
  }))
  const stages = Layer.mergeAll(
    sampler,
    renderer,
    judge,
    optimizer,
    bufferMemory.layer({ maxStaleness, staleWeight: 1 }),
    Policy.layer(initial, maxStaleness + 1)
  )

  // The first steps fill the stream and the last ones empty it.
  const fill = maxStaleness + 2
  const steps = fill + measured + fill
  const seen: Array<{ readonly at: number; readonly spent: typeof spent }> = []
  const totals = { "judge/asked": 0, "pairs/trained": 0, "pairs/age": 0, "advantages/trained": 0, "advantages/age": 0 }
  const names = Object.keys(totals) as Array<keyof typeof totals>
  const follow = ({ metrics, step }: StepOutcome) =>
    Effect.map(Clock.currentTimeMillis, (at) => {
      seen.push({ at, spent: { ...spent } })
      if (step >= fill && step < fill + measured) for (const name of names) totals[name] += metrics[name] ?? 0
    })
  const run = train({ ...settings, steps, firstStep: 0, oldestVersion: 0 }, promptsFor(promptsPerStep), follow)
  return yield* inVirtualTime(Effect.gen(function*() {
    yield* Stream.runDrain(run)
    const [from, to] = [seen[fill - 1]!, seen[fill + measured - 1]!]
    const seconds = (to.at - from.at) / 1000
    const share = (stage: keyof typeof spent, machines: number) => (to.spent[stage] - from.spent[stage]) / seconds / machines
    const limited = totals["judge/asked"] / seconds * 60 / machines.judgmentsPerMinute
    const busy = { sample: share("sample", samplers), render: share("render", settings.renderConcurrency), judge: Math.max(share("judge", judgments), limited), train: share("train", 1) }
    const onCores = (["sample", "render", "train", ...(machines.judgeLocal ? ["judge"] as const : [])] as const).reduce((sum, stage) => sum + share(stage, 1), 0)
    const coresBusy = machines.cores === undefined ? undefined : onCores / machines.cores
    const shares: ReadonlyArray<readonly [keyof Busy | "cores", number]> = [...Object.entries(busy) as Array<[keyof Busy, number]>, ["cores", coresBusy ?? 0]]
    return {
      secondsAStep: seconds / measured,
      judgmentsAStep: totals["judge/asked"] / measured,
      lessonsAStep: (totals["pairs/trained"] + totals["advantages/trained"]) / measured,
      busy,
      cores: coresBusy,
      bottleneck: shares.reduce((a, b) => (b[1] > a[1] ? b : a))[0],
      staleness: (totals["pairs/age"] + totals["advantages/age"]) / measured
    } satisfies Simulated as Simulated
  })).pipe(Effect.provide(stages), Effect.orDie) // the fakes never fail
}, Effect.scoped)
