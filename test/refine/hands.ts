/** A sampler that draws seeded circles and judges and critics that draw lots, all of them from hashes: what tests of a refinement share. */
import { Effect, Layer } from "effect"
import * as RendererCircles from "../../layers/renderer/circles.ts"
import * as SamplerFake from "../../layers/sampler/fake.ts"
import { Candidate, type Picture, type Prompt, Verdict } from "../../src/domain.ts"
import { pick, random, wordsOf } from "../../src/engine/random.ts"
import { promptOf } from "../../src/prompts.ts"
import type { RefineOptions } from "../../src/refine/loop.ts"
import { Critic, type Draft, type Told } from "../../src/stages/Critic.ts"
import { Judge, JudgeRefused, JudgeStopped } from "../../src/stages/Judge.ts"
import { type AnswerForm, candidateSeed, Sampler } from "../../src/stages/Sampler.ts"

export const options: RefineOptions = {
  policy: SamplerFake.initialPolicy(),
  seed: 0,
  promptTemplate: "{prompt}",
  prefill: "<svg",
  rounds: 4,
  threshold: 9,
  patience: 2,
  draftTemperature: 0.5,
  correctionTemperature: 0.5
}

export const prompts = Array.from({ length: 5 }, (_, n) => promptOf(`a plum in ${n} parts`))

export const circle = (radius: number, fill = "#2f9e44"): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><circle cx="50" cy="50" r="${radius.toFixed(2)}" fill="${fill}"/></svg>`

export interface Asked {
  readonly step: number
  readonly k: number
  readonly prompt: Prompt
  readonly form: AnswerForm | undefined
}

export interface SamplerOptions {
  /** Share of answers that are no drawing. Default 0.3. */
  readonly broken?: number
  /** The answer to a prompt of a step, in place of a circle. */
  readonly says?: (asked: Asked, index: number) => string | undefined
  readonly room?: (prompt: Prompt) => number
  readonly asked?: Array<Asked>
}

/** A candidate has 3 to 20 tokens, whatever its text is. */
export const sampler = ({ asked = [], broken = 0.3, room, says = () => undefined }: SamplerOptions = {}) =>
  Layer.succeed(Sampler, {
    name: "circles",
    ...(room === undefined ? {} : { room: (prompt: Prompt) => Effect.succeed(room(prompt)) }),
    sample: ({ form, k, policy, prompts, seed, step, temperature }) =>
      Effect.sync(() => prompts.map((prompt) => {
        asked.push({ step, k, prompt, form })
        return Array.from({ length: k }, (_, index) => {
          const key = candidateSeed(seed, step, prompt, temperature === 0 ? 0 : index)
          const draw = random(key)
          const ids = Array.from({ length: 3 + Math.floor(18 * draw()) }, (_, id) => id)
          const text = draw() < broken ? "<svg I would rather not" : circle(5 + 40 * draw(), pick(draw, ["#2f9e44", "#e8590c", "#1971c2"]))
          return new Candidate({
            prompt, step, index, policyVersion: policy.version, seed: key, promptIds: [1], completionIds: ids,
            logps: ids.map(() => -draw()), svg: says({ step, k, prompt, form }, index) ?? text, finish: "stop"
          })
        })
      }))
  })

export interface JudgeOptions {
  readonly seed?: number
  /** It stops after so many answers, as one without a budget does. */
  readonly answers?: number
  readonly free?: boolean
  readonly asked?: Array<string>
}

/**
 * Draws a lot for each pair of pictures: not transitive, sometimes a tie, an answer that is none, or a refusal. The same
 * pair always has the same lot, and swapped pictures the swapped one.
 */
export const lots = (seed: number, prompt: Prompt, a: Picture, b: Picture): Effect.Effect<Verdict, JudgeRefused> =>
  Effect.suspend(() => {
    const [low, high] = [a.hash, b.hash].toSorted()
    const lot = random(seed, ...wordsOf(prompt.text), ...wordsOf(low!), ...wordsOf(high!))()
    const said = (outcome: Verdict["outcome"]) => Effect.succeed(new Verdict({ outcome, confidence: 0.5, by: "lots", costUsd: 0.25 }))
    if (lot < 0.1) return Effect.fail(new JudgeRefused({ message: "no", costUsd: 0.5 }))
    if (lot < 0.2) return said("invalid")
    if (lot < 0.3 || low === high) return said("tie")
    return said(lot < 0.65 === (a.hash === low) ? "A" : "B")
  })

export const judge = ({ answers = Infinity, asked = [], free = true, seed = 0 }: JudgeOptions = {}) =>
  Layer.succeed(Judge, {
    name: "lots",
    identity: `lots ${seed}`,
    concurrency: 4,
    free,
    compare: (prompt, a, b) =>
      Effect.suspend(() => {
        asked.push(`${prompt.id} ${a.hash} ${b.hash}`)
        const stopped = asked.length > answers ? Effect.fail(new JudgeStopped({ message: "The budget is spent." })) : Effect.void
        return Effect.andThen(stopped, lots(seed, prompt, a, b))
      })
  })

export interface CriticOptions {
  readonly seed?: number
  /** Share of drawings about which it says nothing. Default 0.2. */
  readonly silent?: number
  /** Highest score. Default 10. */
  readonly highest?: number
  readonly asked?: Array<Draft>
}

export const criticTokens = 7

export const critic = ({ asked = [], highest = 10, seed = 0, silent = 0.2 }: CriticOptions = {}) =>
  Layer.succeed(Critic, {
    name: "lots",
    identity: `lots ${seed}`,
    critique: (drafts) =>
      Effect.sync(() => drafts.map((draft): Told => {
        asked.push(draft)
        const picture = draft.rendering._tag === "Rendered" ? draft.rendering.picture.hash : draft.rendering.reason
        const draw = random(seed, 1, ...wordsOf(draft.prompt.text), ...wordsOf(picture))
        return draw() < silent
          ? { critique: undefined, problem: "it says nothing", tokens: criticTokens, costUsd: 0.125 }
          : { critique: { score: highest * draw(), critique: `seen ${picture.slice(0, 8)}`, suggestions: "More." }, tokens: criticTokens, costUsd: 0.125 }
      }))
  })

export const renderer = RendererCircles.layer({ size: 16 })
