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

/** In the order of `refined`. */
export const besideOf = Effect.fn("refine.beside")(function*(o: RefineOptions, refined: ReadonlyArray<Refined>) {
  const least = Math.max(1, Math.min(...refined.map(({ draft }) => draft.tokens)))
  const k = Math.min(most, Math.max(...refined.map(({ tokens }) => Math.ceil(tokens / least))))
  const { policy, seed } = o
  const prompts = refined.map(({ prompt }) => prompt)
  const groups = yield* (yield* Sampler).sample({ step: draftStep, prompts, k, seed, policy, temperature: o.draftTemperature })
  return yield* Effect.forEach(refined, Effect.fnUntraced(function*({ prompt, tokens }, n) {
    const group = affordable(groups[n]!, tokens)
    const drawn = yield* Effect.forEach(group, renderCandidate, { concurrency: 4 })
    const champions = yield* championsOf(drawn)
    return { drawings: yield* Effect.forEach(group, (candidate) => versionOf(prompt, candidate)), champion: champions.at(-1)! } satisfies Beside as Beside
  }), { concurrency: 8 })
})
