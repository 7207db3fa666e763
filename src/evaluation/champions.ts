/** Best of K: which of the first drawings of a prompt a judge likes best. */
import { Effect } from "effect"
import type { Drawing, Verdict } from "../domain.ts"
import { decideRenderings } from "../lessons/decide.ts"

/** A tie of two scores still has a higher one; a tie without scores keeps the earlier drawing. */
const laterWins = ({ outcome, scores }: Verdict): boolean =>
  outcome === "B" || (outcome === "tie" && scores !== undefined && scores[1] > scores[0])

/**
 * The champion of the first 1, 2, ... drawings, as indices: each later drawing meets the champion so far. For a judge
 * that scores single pictures this is the one of highest score. A drawing that rendered beats one that did not.
 */
export const championsOf = Effect.fnUntraced(function*(drawings: ReadonlyArray<Drawing>) {
  const champions = [0]
  for (let later = 1; later < drawings.length; later++) {
    const champion = champions[later - 1]!
    const [held, met] = [drawings[champion]!, drawings[later]!]
    const verdict = yield* decideRenderings(held.candidate.prompt, held.rendering, met.rendering)
    champions.push(laterWins(verdict) ? later : champion)
  }
  return champions
})
