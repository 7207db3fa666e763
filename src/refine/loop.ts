/**
 * IntroSVG's loop: draft, render, critique, correct, again. Ours differs in five ways: it ends at a score, or when rounds
 * no longer help; it keeps the best drawing by pairwise judgment (keep.ts), where IntroSVG keeps the last; a round that
 * fails keeps what there was, where IntroSVG loses the drawing; the critic looks at the best drawing, not at the last;
 * and many prompts go through each round together.
 */
import { Effect } from "effect"
import type { Candidate, Prompt, Rendering, Verdict } from "../domain.ts"
import { extractSvg } from "../drawing/extract.ts"
import { nats } from "../evaluation/drawings.ts"
import { userText } from "../model/tokenizer/tokenizer.ts"
import { promptOf } from "../prompts.ts"
import { type Critique, correctionText } from "../roles/roles.ts"
import { Critic, type Told } from "../stages/Critic.ts"
import type { PolicySnapshot } from "../stages/Policy.ts"
import { renderFor } from "../stages/render-for.ts"
import { type AnswerForm, Sampler } from "../stages/Sampler.ts"
import { challenge } from "./keep.ts"

export interface RefineOptions {
  readonly policy: PolicySnapshot
  readonly seed: number
  /** User message that asks for a drawing; `{prompt}` stands for the prompt. */
  readonly promptTemplate: string
  /** How every drawing begins. */
  readonly prefill: string
  /** Most corrections of a prompt; with 0 the draft is criticised and nothing is judged. */
  readonly rounds: number
  /** A drawing that the critic gives this score or more is done, 0 to 10; over 10: none ever is. */
  readonly threshold: number
  /** Corrections in a row that were not kept, after which a prompt is done; >= 1. */
  readonly patience: number
  /** >= 0; 0 is greedy. IntroSVG drafts at 0.5 and corrects at 0.2. */
  readonly draftTemperature: number
  readonly correctionTemperature: number
}

/** A drawing, and what it was to its prompt. */
export interface Version {
  /** The drawing, or all of the answer if there is none in it. */
  readonly svg: string
  readonly rendering: Rendering
  /** Tokens of the answer. */
  readonly tokens: number
  /** -log p under what it was drawn from, nats. */
  readonly nats: number
}

/** One correction: what was said of the best drawing before, what was drawn then, and whether that took its place. */
export interface Round {
  readonly told: Told
  readonly version: Version | undefined
  readonly verdicts: ReadonlyArray<Verdict>
  readonly kept: boolean
  /** Why nothing was drawn, one line. */
  readonly problem: string | undefined
}

export type Ended = "threshold" | "patience" | "rounds"

export interface Refined {
  readonly prompt: Prompt
  readonly draft: Version
  readonly rounds: ReadonlyArray<Round>
  /** The draft, or the version of the last round that was kept. */
  readonly best: Version
  /** The critic's last word on the best drawing, if it had one. */
  readonly critique: Critique | undefined
  readonly ended: Ended
  /** All tokens that the policy drew: draft, corrections, and critiques if it was its own critic. */
  readonly tokens: number
  /** Of critiques and verdicts, USD. */
  readonly costUsd: number
}

/** No training step has these numbers; each round has its own, so that no two drawings share their random numbers. */
export const draftStep = -4
const correctionStep = (round: number): number => -10 - round

/** A candidate as a drawing of the prompt, rendered. */
export const versionOf = Effect.fnUntraced(function*(prompt: Prompt, candidate: Candidate) {
  const svg = extractSvg(candidate.svg) ?? candidate.svg
  return { svg, rendering: yield* renderFor(prompt, svg), tokens: candidate.completionIds.length, nats: nats(candidate) } satisfies Version as Version
})

/** What is known of a prompt between two rounds. */
interface Running {
  readonly prompt: Prompt
  readonly draft: Version
  readonly best: Version
  readonly rounds: ReadonlyArray<Round>
  /** Of the best version; undefined if the critic was not asked about it yet. */
  readonly told: Told | undefined
  /** Corrections in a row that were not kept. */
  readonly inVain: number
  readonly ended: Ended | undefined
  readonly tokens: number
  readonly costUsd: number
}

const costOf = (verdicts: ReadonlyArray<Verdict>): number => verdicts.reduce((sum, { costUsd = 0 }) => sum + costUsd, 0)

/** Asks the critic about the best drawings that it has not seen, and ends those that are good enough. */
const criticise = Effect.fnUntraced(function*({ threshold }: RefineOptions, all: ReadonlyArray<Running>) {
  const asked = all.filter(({ ended, told }) => ended === undefined && told === undefined)
  const answers = yield* (yield* Critic).critique(asked.map(({ best, prompt }) => ({ prompt, rendering: best.rendering })))
  const told = new Map(asked.map((of, n) => [of, answers[n]!]))
  return all.map((of): Running => {
    const answer = told.get(of)
    if (answer === undefined) return of
    const done = answer.critique !== undefined && answer.critique.score >= threshold
    return {
      ...of,
      told: answer,
      ended: done ? "threshold" : of.ended,
      tokens: of.tokens + answer.tokens,
      costUsd: of.costUsd + answer.costUsd
    }
  })
})

/** One correction of every prompt that is not done. */
const correct = Effect.fnUntraced(function*(o: RefineOptions, all: ReadonlyArray<Running>, round: number) {
  const form: AnswerForm = { promptTemplate: "{prompt}", prefill: o.prefill, stop: "</svg>" }
  const { room = () => Effect.succeed(Infinity), sample } = yield* Sampler
  const running = all.filter(({ ended }) => ended === undefined)
  const asked = yield* Effect.forEach(running, Effect.fnUntraced(function*(of) {
    const critique = of.told?.critique
    if (critique === undefined) return { of, problem: of.told?.problem ?? "there is no critique" }
    const goal = userText(o, of.prompt.text)
    const question = promptOf(correctionText(goal, of.best.svg, critique))
    return (yield* room(question, form)) < 1 ? { of, problem: "drawing and critique are longer than the policy reads" } : { of, question }
  }))
  const questions = asked.flatMap(({ question }) => question === undefined ? [] : [question])
  const groups = questions.length === 0 ? [] : yield* sample({
    step: correctionStep(round),
    prompts: questions,
    k: 1,
    seed: o.seed,
    policy: o.policy,
    temperature: o.correctionTemperature,
    form
  })
  let next = 0
  const drawn = asked.map(({ of, problem, question }) => ({ of, problem, candidate: question === undefined ? undefined : groups[next++]![0]! }))
  const after = yield* Effect.forEach(drawn, Effect.fnUntraced(function*({ candidate, of, problem }) {
    const version = candidate === undefined ? undefined : yield* versionOf(of.prompt, candidate)
    const { kept, verdicts } = version === undefined
      ? { kept: false, verdicts: [] }
      : yield* challenge(of.prompt, version.rendering, of.best.rendering, of.draft.rendering)
    const inVain = kept ? 0 : of.inVain + 1
    return {
      ...of,
      best: kept ? version! : of.best,
      rounds: [...of.rounds, { told: of.told!, version, verdicts, kept, problem }],
      // The same drawing is not criticised twice: its critique stays, and another correction is drawn from it.
      told: kept ? undefined : of.told,
      inVain,
      ended: inVain >= o.patience ? "patience" : undefined,
      tokens: of.tokens + (version?.tokens ?? 0),
      costUsd: of.costUsd + costOf(verdicts)
    } satisfies Running as Running
  }), { concurrency: 8 })
  const changed = new Map(running.map((of, n) => [of, after[n]!]))
  return all.map((of) => changed.get(of) ?? of)
})

/**
 * Refines these prompts together. It ends by itself: after `rounds` corrections at the latest. Fails only if no stage can
 * go on; the same call then asks the same questions again, and a stored answer is read.
 *
 * @param tick called with how many corrections were made
 */
export const refine = Effect.fn("refine")(function*(
  o: RefineOptions,
  prompts: ReadonlyArray<Prompt>,
  tick: (round: number) => Effect.Effect<void> = () => Effect.void
) {
  const { policy, seed } = o
  const groups = yield* (yield* Sampler).sample({ step: draftStep, prompts, k: 1, seed, policy, temperature: o.draftTemperature })
  let all = yield* Effect.forEach(prompts, Effect.fnUntraced(function*(prompt, n) {
    const draft = yield* versionOf(prompt, groups[n]![0]!)
    return { prompt, draft, best: draft, rounds: [], told: undefined, inVain: 0, ended: undefined, tokens: draft.tokens, costUsd: 0 } satisfies Running as Running
  }), { concurrency: 8 })
  for (let round = 0; round < o.rounds && all.some(({ ended }) => ended === undefined); round++) {
    all = yield* correct(o, yield* criticise(o, all), round)
    yield* tick(round + 1)
  }
  // The last word, on drawings that took their place in the last round.
  all = yield* criticise(o, all)
  return all.map(({ best, costUsd, draft, ended = "rounds", prompt, rounds, told, tokens }): Refined =>
    ({ prompt, draft, rounds, best, critique: told?.critique, ended, tokens, costUsd }))
})
