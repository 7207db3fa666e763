/** How variants stand that were each trained with several seeds: means over the seeds, intervals over the prompts. */
import type { PromptDrawn } from "./drawings.ts"
import type { Asked, PolicyDrawings } from "./standing.ts"
import { type Interval, mean, pairedBootstrap } from "./statistics.ts"
import { first, scorerOver, worthOf, type Yardstick } from "./worth.ts"

/** Worth is the share right, or the mean score that the yardstick names; each policy at its best temperature. */
export interface VariantStanding {
  readonly name: string
  readonly seeds: number
  /** Mean over the seeds; the interval (95 %) is a bootstrap over the prompts and says nothing about other seeds. */
  readonly worth: Interval
  /** Of the seeds. */
  readonly lowest: number
  readonly highest: number
  /** At temperature 1. */
  readonly plain: number
  /** Minus the base, and minus the first variant (null for itself): paired bootstrap over the prompts. */
  readonly minusBase: Interval
  readonly minusFirst: Interval | null
  readonly categories: ReadonlyArray<{ readonly category: string; readonly worth: number }>
}

/** [seed][prompt] */
type Worths = ReadonlyArray<ReadonlyArray<number | undefined>>

/** Each prompt's mean over the seeds; undefined where it has no worth. */
const overSeeds = (worths: Worths): ReadonlyArray<number | undefined> =>
  (worths[0] ?? []).map((_, n) => {
    const own = worths.flatMap((seed) => seed[n] ?? [])
    return own.length === 0 ? undefined : mean(own)
  })
const known = (all: ReadonlyArray<number | undefined>): ReadonlyArray<number> => all.flatMap((x) => x ?? [])
const minus = (a: ReadonlyArray<number | undefined>, b: ReadonlyArray<number | undefined>): ReadonlyArray<number> =>
  a.flatMap((x, n) => (x === undefined || b[n] === undefined ? [] : [x - b[n]]))

/**
 * @param base the untrained policy's drawings
 * @param variants in their order, each with the drawings of its seeds
 * @param all every policy's drawings, for what a drawing that does not render counts as
 */
export const variantStandings = (
  asked: ReadonlyArray<Asked>,
  base: PolicyDrawings,
  variants: ReadonlyArray<{ readonly name: string; readonly seeds: ReadonlyArray<PolicyDrawings> }>,
  yardstick: Yardstick,
  seed: number
): ReadonlyArray<VariantStanding> => {
  const everything = [base, ...variants.flatMap(({ seeds }) => seeds)].flatMap(({ drawn }) => [...drawn.values()].flat())
  const worth = worthOf(yardstick, scorerOver(yardstick, everything))
  const worths = (all: ReadonlyArray<PromptDrawn>) => all.map((of) => worth(of.prompt, first(of)))
  const atBest = ({ best, drawn }: PolicyDrawings) => worths(drawn.get(best)!)
  const own = variants.map(({ seeds }) => seeds.map(atBest))
  const categories = [...new Set(asked.map(({ category }) => category))]
  return variants.map(({ name, seeds }, v): VariantStanding => {
    const all = overSeeds(own[v]!)
    const shares = own[v]!.map((of) => mean(known(of)))
    return {
      name,
      seeds: seeds.length,
      worth: pairedBootstrap(known(all), seed),
      lowest: Math.min(...shares),
      highest: Math.max(...shares),
      plain: mean(known(overSeeds(seeds.map(({ drawn }) => worths(drawn.get(1)!))))),
      minusBase: pairedBootstrap(minus(all, atBest(base)), seed),
      minusFirst: v === 0 ? null : pairedBootstrap(minus(all, overSeeds(own[0]!)), seed),
      categories: categories.map((category) => ({ category, worth: mean(known(all.filter((_, n) => asked[n]!.category === category))) }))
    }
  })
}
