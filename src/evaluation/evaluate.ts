/**
 * Compares the trained policy with the untrained one, each at its own best temperature. Both draw with equal seeds, so
 * that the same numbers come out whenever this is computed. Temperatures are chosen on training prompts; everything
 * that is told of a policy is measured on held-out ones.
 */
import { Effect, Ref } from "effect"
import { random, shuffled } from "../engine/random.ts"
import type { Prompt } from "../domain.ts"
import type { PromptSet } from "../prompts.ts"
import { Judge } from "../stages/Judge.ts"
import type { PolicySnapshot } from "../stages/Policy.ts"
import type { Scorer } from "../stages/Scorer.ts"
import type { Progress } from "../system/progress.ts"
import { type Drawn, drawAndMeasure, type DrawRequest, type PromptDrawn } from "./drawings.ts"
import { atBest, learningOf, type PolicyDrawn } from "./learning.ts"
import type { Evaluated } from "./measures.ts"
import { bestTemperature, choicesOf, gridOf } from "./temperature.ts"
import { noWinRate, winnerOf, winRates, type Winner } from "./win-rate.ts"
import { first, meanTokens, scorerOver, validity, valuesOf, worthOf, type Yardstick, yardstickFor } from "./worth.ts"
import { mean } from "./statistics.ts"

/** No training step has these numbers, so no drawing here shares its random numbers with one that was trained on. */
const [heldOutStep, choiceStep] = [-1, -2]

/**
 * Temperatures that are measured at the same time: the next one's drawings are sampled while the last ones of this are
 * rendered and scored.
 */
const temperaturesAtOnce = 2

/** Most training prompts that temperatures are chosen on (as many as are held out), and drawings of each at every temperature. */
const [mostChoicePrompts, choiceDrawings] = [64, 4]

export interface EvaluationOptions {
  readonly prompts: PromptSet
  readonly before: PolicySnapshot
  readonly after: PolicySnapshot
  /** The first win rate told is the first one's; none of them may be the training judge. */
  readonly scorers: ReadonlyArray<Scorer>
  readonly seed: number
  /** >= 0; greedy drawing and the policy itself (0 and 1) are measured in any case. */
  readonly temperatures: ReadonlyArray<number>
  /** The K of best of K; below 2 the judge is not asked. */
  readonly bestOf: number
  /** Most drawings in one call of the sampler. */
  readonly atOnce: number
  /** Makes the progress that is shown, of this many drawings. */
  readonly progress: (drawings: number) => Effect.Effect<Progress>
}

/** The greedy drawings of one held-out prompt. */
export interface GreedyPair {
  readonly prompt: Prompt
  readonly before: Drawn
  readonly after: Drawn
  /** By the first scorer that can judge it, if any. */
  readonly winner: Winner | undefined
  readonly scorer: string | undefined
}

export interface Evaluation {
  readonly evaluated: Evaluated
  /** In the order of the held-out prompts. */
  readonly greedy: ReadonlyArray<GreedyPair>
}

const unmeasured = { before: 0, after: 0 }
const nothing: Evaluation = {
  evaluated: { winRate: noWinRate, otherWinRates: [], validity: unmeasured, diversity: unmeasured, length: unmeasured, learning: null },
  greedy: []
}

/** Of equal worth, the higher temperature: as for one drawing. */
const bestOfTemperature = (yardstick: Yardstick, drawn: ReadonlyMap<number, ReadonlyArray<PromptDrawn>>): number => {
  const worth = worthOf(yardstick, scorerOver(yardstick, [...drawn.values()].flat()))
  return bestTemperature([...drawn].map(([temperature, all]) => ({
    temperature,
    worth: mean(valuesOf(all, worth, ({ champions, drawings }) => [drawings[champions!.at(-1)!]!]))
  })))
}

const greedyPairs = (scorers: ReadonlyArray<Scorer>, before: PolicyDrawn, after: PolicyDrawn): ReadonlyArray<GreedyPair> =>
  before.heldOut.get(0)!.map((of, n) => {
    const [b, a] = [first(of), first(after.heldOut.get(0)![n]!)]
    const judged = scorers.map((scorer) => ({ scorer: scorer.name, winner: winnerOf(scorer, of.prompt, b, a) }))
    const known = judged.find(({ winner }) => winner !== undefined)
    return { prompt: of.prompt, before: b, after: a, winner: known?.winner, scorer: known?.scorer }
  })

/** Draws 7,616 drawings by default; pure in the policies, the prompts, the seed and the judge. */
export const evaluate = Effect.fn("evaluate")(function*(o: EvaluationOptions) {
  const { heldOut, train } = o.prompts
  if (heldOut.length === 0) return nothing
  const judge = yield* Judge
  const asked = o.bestOf >= 2 && judge.free === true
  const grid = gridOf(o.temperatures)
  const chosenOn = shuffled(random(o.seed, 0xc401ce), train).slice(0, Math.min(mostChoicePrompts, heldOut.length))
  const yardstick = yardstickFor(heldOut, o.scorers)
  const needed = yardstick.scorer === undefined ? [] : [yardstick.scorer]

  const sampled = grid.filter((temperature) => temperature > 0).length
  const ofChoice = chosenOn.length * (sampled * choiceDrawings + 1)
  const total = 2 * (ofChoice + heldOut.length * grid.length) + (asked ? heldOut.length * (o.bestOf - 1) : 0)
  const progress = yield* o.progress(total)
  yield* progress.note(`Comparing the trained policy with the one it started from, each at ${grid.length} temperatures: ${total} drawings ...`)
  const done = yield* Ref.make(0)
  const draw = (detail: string, request: Pick<DrawRequest, "prompts" | "policy" | "temperature" | "k" | "step" | "scorers" | "champions" | "scored">) =>
    drawAndMeasure({
      ...request,
      seed: o.seed,
      atOnce: o.atOnce,
      onDrawn: (more) => Effect.flatMap(Ref.updateAndGet(done, (before) => before + more), (now) => progress.tick(now, detail))
    })

  const atEach = <E, R>(of: (temperature: number) => Effect.Effect<ReadonlyArray<PromptDrawn>, E, R>) =>
    Effect.map(
      Effect.forEach(grid, (temperature) => Effect.map(of(temperature), (drawn) => [temperature, drawn] as const), {
        concurrency: temperaturesAtOnce
      }),
      (all) => new Map(all)
    )
  const choose = (name: string, policy: PolicySnapshot, champions: boolean) =>
    atEach((temperature) =>
      draw(`${name} policy on training prompts, temperature ${temperature}`, {
        prompts: chosenOn, policy, temperature, k: choiceDrawings, step: choiceStep, scorers: needed, champions
      })
    )
  const measure = (name: string, policy: PolicySnapshot, best: number, bestOf: number | undefined) =>
    atEach((temperature) => {
      const champions = temperature === bestOf
      return draw(`${name} policy on held-out prompts, temperature ${temperature}`, {
        prompts: heldOut,
        policy,
        temperature,
        k: champions ? o.bestOf : 1,
        step: heldOutStep,
        // The other scorers take most of the time, and are told only where policies are compared, and beside pictures.
        scorers: temperature === best || temperature === 0 ? o.scorers : needed,
        champions,
        scored: "champions"
      })
    })

  const untrained = yield* choose("untrained", o.before, asked)
  const trained = yield* choose("trained", o.after, false)
  const choices = { before: choicesOf(yardstick, untrained), after: choicesOf(yardstick, trained) }
  const manyAt = asked ? bestOfTemperature(yardstick, untrained) : undefined
  const before: PolicyDrawn = { choice: choices.before, heldOut: yield* measure("untrained", o.before, bestTemperature(choices.before), manyAt) }
  const after: PolicyDrawn = { choice: choices.after, heldOut: yield* measure("trained", o.after, bestTemperature(choices.after), undefined) }
  yield* progress.end

  const learning = learningOf({
    yardstick,
    chosenOn: { prompts: chosenOn.length, drawings: choiceDrawings },
    before,
    after,
    seed: o.seed,
    bestOf: manyAt !== undefined
      ? { judge: judge.name, temperature: manyAt, k: o.bestOf }
      : { notAsked: judge.free === true ? "best of K was turned off" : `an answer of the judge ${judge.name} costs money or time, so it was not asked` }
  })
  const [b, a] = [atBest(before), atBest(after)]
  const [winRate = noWinRate, ...otherWinRates] = winRates(o.scorers, b, a)
  return {
    evaluated: {
      winRate,
      otherWinRates,
      validity: { before: validity(b.map(first)), after: validity(a.map(first)) },
      diversity: { before: learning.distinct.before, after: learning.distinct.after },
      length: { before: meanTokens(b.map(first)), after: meanTokens(a.map(first)) },
      learning
    },
    greedy: greedyPairs(o.scorers, before, after)
  } satisfies Evaluation as Evaluation
})
