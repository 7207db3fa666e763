/**
 * The cheapest rival of a refinement: as many drawings of the prompt as the same tokens give, and the one of them that the
 * same judge likes best. The draft is the first of them.
 */
import { Effect } from "effect"
import type { Candidate } from "../domain.ts"
import { championsOf } from "../evaluation/champions.ts"
import { renderCandidate } from "../stages/render-for.ts"
import { Sampler } from "../stages/Sampler.ts"
import { draftStep, type Refined, type RefineOptions, versionOf } from "./loop.ts"
import type { Beside } from "./record.ts"

/** Most drawings of a prompt. */
const most = 64

/** The first drawings whose tokens together are no more than `tokens`; at least one. */
const affordable = (group: ReadonlyArray<Candidate>, tokens: number): ReadonlyArray<Candidate> => {
  let spent = 0
  const within = group.findIndex(({ completionIds }) => (spent += completionIds.length) > tokens)
  return group.slice(0, Math.max(1, within < 0 ? group.length : within))
}

const tokensOf = (group: ReadonlyArray<Candidate>): number => group.reduce((sum, { completionIds }) => sum + completionIds.length, 0)

/**
 * More drawings of each prompt than its tokens give, or as many as there may be: how many are drawn of one depends on no
 * other. Greedy ones are all the same, and drawn once.
 */
const groupsOf = Effect.fnUntraced(function*({ draftTemperature: temperature, policy, seed }: RefineOptions, refined: ReadonlyArray<Refined>) {
  const { sample } = yield* Sampler
  const groups: Array<ReadonlyArray<Candidate>> = refined.map(() => [])
  const short = (n: number, k: number) => groups[n]!.length < k && tokensOf(groups[n]!) <= refined[n]!.tokens
  const limit = temperature === 0 ? 1 : most
  const total = (of: (one: Refined) => number) => refined.reduce((sum, one) => sum + of(one), 0)
  const likely = 1 + Math.ceil(total(({ tokens }) => tokens) / Math.max(1, total(({ draft }) => draft.tokens)))
  for (let k = Math.min(likely, limit);; k = Math.min(2 * k, limit)) {
    const asked = refined.map((_, n) => n).filter((n) => short(n, k))
    if (asked.length === 0) return groups
    const more = yield* sample({ step: draftStep, prompts: asked.map((n) => refined[n]!.prompt), k, seed, policy, temperature })
    asked.forEach((n, i) => (groups[n] = more[i]!))
  }
})

/** In the order of `refined`. */
export const besideOf = Effect.fn("refine.beside")(function*(o: RefineOptions, refined: ReadonlyArray<Refined>) {
  const groups = yield* groupsOf(o, refined)
  return yield* Effect.forEach(refined, Effect.fnUntraced(function*({ prompt, tokens }, n) {
    const group = affordable(groups[n]!, tokens)
    const drawn = yield* Effect.forEach(group, renderCandidate, { concurrency: 4 })
    const champions = yield* championsOf(drawn)
    return { drawings: yield* Effect.forEach(group, (candidate) => versionOf(prompt, candidate)), champion: champions.at(-1)! } satisfies Beside as Beside
  }), { concurrency: 8 })
})
