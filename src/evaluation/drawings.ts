/**
 * Draws prompts with one policy at one temperature, and keeps what is measured of each drawing: a run draws many
 * thousands for its evaluation, and their pixels would not fit into memory.
 */
import { Effect, Stream } from "effect"
import type { Candidate, Drawing, Prompt, Rendering } from "../domain.ts"
import type { PolicySnapshot } from "../stages/Policy.ts"
import { renderCandidate } from "../stages/render-for.ts"
import { Sampler } from "../stages/Sampler.ts"
import type { Scorer } from "../stages/Scorer.ts"
import { championsOf } from "./champions.ts"

/** What is kept of one drawing. */
export interface Drawn {
  readonly svg: string
  /** `rendered`, or why not: `rejected: malformed`. */
  readonly outcome: string
  /** SHA-256 of its pixels; undefined if it did not render. */
  readonly hash: string | undefined
  readonly tokens: number
  /** -log p under what it was drawn from, nats. */
  readonly nats: number
  /** By scorer; without those that cannot score it. */
  readonly scores: ReadonlyMap<string, number>
}

/** All drawings of one prompt. */
export interface PromptDrawn {
  readonly prompt: Prompt
  readonly drawings: ReadonlyArray<Drawn>
  /** The judge's champion of the first 1, 2, ... drawings; undefined if the judge was not asked. */
  readonly champions: ReadonlyArray<number> | undefined
}

export interface DrawRequest {
  readonly prompts: ReadonlyArray<Prompt>
  readonly policy: PolicySnapshot
  readonly temperature: number
  /** Drawings a prompt; greedy ones are all the same, and drawn once. */
  readonly k: number
  readonly seed: number
  /** Part of the seeds; no training step has a negative one. */
  readonly step: number
  readonly scorers: ReadonlyArray<Scorer>
  /** Whether the judge picks champions. */
  readonly champions?: boolean
  /** Whether all drawings are scored, or a prompt's first one and its champions alone. Default `all`. */
  readonly scored?: "all" | "champions"
  /** Most drawings in one call of the sampler. */
  readonly atOnce: number
  /** Called with how many drawings more are done. */
  readonly onDrawn: (more: number) => Effect.Effect<void>
}

/** -log p of its tokens under what they were drawn from. */
export const nats = ({ drawnLogps, logps }: Candidate): number => -(drawnLogps ?? logps).reduce((sum, logp) => sum + logp, 0)

const scoresOf = Effect.fnUntraced(function*(scorers: ReadonlyArray<Scorer>, prompt: Prompt, rendering: Rendering) {
  if (rendering._tag !== "Rendered") return []
  const scores = yield* Effect.forEach(scorers, ({ score }) => score(prompt, rendering.picture))
  return scores.flatMap((score, n) => score === undefined ? [] : [[scorers[n]!.name, score] as const])
})

/** `rendered`, or why not: `rejected: malformed`. */
export const outcomeOf = (rendering: Rendering): string =>
  rendering._tag === "Rendered" ? "rendered" : `${rendering._tag.toLowerCase()}: ${rendering.reason}`

/** What is kept of a rendered drawing of the prompt. */
export const measured = Effect.fnUntraced(function*(
  scorers: ReadonlyArray<Scorer>,
  prompt: Prompt,
  rendering: Rendering,
  drawing: Pick<Drawn, "nats" | "svg" | "tokens">
) {
  return {
    svg: drawing.svg,
    outcome: outcomeOf(rendering),
    hash: rendering._tag === "Rendered" ? rendering.picture.hash : undefined,
    tokens: drawing.tokens,
    nats: drawing.nats,
    scores: new Map(yield* scoresOf(scorers, prompt, rendering))
  } satisfies Drawn as Drawn
})

const measure = (scorers: ReadonlyArray<Scorer>, { candidate, rendering }: Drawing) =>
  measured(scorers, candidate.prompt, rendering, { svg: candidate.svg, tokens: candidate.completionIds.length, nats: nats(candidate) })

/** Prompts whose drawings are rendered and scored at the same time; a scorer on the CPU is faster with many at once. */
const together = 32

/** In the order of the prompts. */
export const drawAndMeasure = Effect.fn("drawAndMeasure")(function*(o: DrawRequest) {
  const sampler = yield* Sampler
  const k = o.temperature === 0 ? 1 : o.k
  const size = Math.max(1, Math.floor(o.atOnce / k))
  const batches = Array.from({ length: Math.ceil(o.prompts.length / size) }, (_, n) => o.prompts.slice(n * size, (n + 1) * size))
  const ofPrompt = Effect.fnUntraced(function*(candidates: ReadonlyArray<Candidate>) {
    const drawn = yield* Effect.forEach(candidates, renderCandidate, { concurrency: 4 })
    const champions = o.champions === true ? yield* championsOf(drawn) : undefined
    const told = (index: number) => o.scored !== "champions" || index === 0 || champions?.includes(index) === true
    const drawings = yield* Effect.forEach(drawn, (drawing, index) => measure(told(index) ? o.scorers : [], drawing), { concurrency: k })
    yield* o.onDrawn(candidates.length)
    const copies = o.k / k // more than one of a greedy drawing
    return {
      prompt: candidates[0]!.prompt,
      drawings: Array.from({ length: copies }, () => drawings).flat(),
      champions: champions === undefined || copies === 1 ? champions : Array.from({ length: copies }, () => 0)
    } satisfies PromptDrawn as PromptDrawn
  })
  return yield* Stream.fromIterable(batches).pipe(
    Stream.mapEffect((prompts) =>
      sampler.sample({ step: o.step, prompts, k, seed: o.seed, policy: o.policy, temperature: o.temperature })
    ),
    Stream.buffer({ capacity: 1 }), // the next ones are drawn while these are rendered and scored
    Stream.mapEffect((groups) => Effect.forEach(groups, ofPrompt, { concurrency: together })),
    Stream.runFold((): Array<PromptDrawn> => [], (all, more) => (all.push(...more), all))
  )
})
