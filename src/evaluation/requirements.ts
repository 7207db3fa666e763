/**
 * How much of what was required the drawings of several policies show: numbers from what a guide model saw in them. Nothing
 * here asks anything. A drawing's ratio is met / n: each requirement is met or not, so it is in [0, 1].
 */
import { type Interval, mean, pairedBootstrap } from "./statistics.ts"

/** What is known of one drawing. */
export type Check =
  | { readonly outcome: "checked"; readonly rows: ReadonlyArray<{ readonly met: boolean; readonly evidence: string }> }
  /** It does not render, so it meets nothing. */
  | { readonly outcome: "invalid"; readonly reason: string }
  /** There was no usable answer: it counts nowhere. */
  | { readonly outcome: "unanswered"; readonly reason: string }

/** In [0, 1]; undefined without an answer. */
export const ratioOf = (check: Check): number | undefined => {
  switch (check.outcome) {
    case "checked":
      return mean(check.rows.map(({ met }) => Number(met)))
    case "invalid":
      return 0
    case "unanswered":
      return undefined
  }
}

/** That of a drawing that renders. */
const renderedRatio = (check: Check): number | undefined => (check.outcome === "invalid" ? undefined : ratioOf(check))

interface Ratios {
  /** Mean of met / n over the prompts; a drawing that does not render meets none of n. */
  readonly all: number
  /** Mean over the drawings that render alone. */
  readonly rendered: number
}

export interface RequirementMeasures extends Ratios {
  /** Prompts in `all`. */
  readonly prompts: number
  /** Prompts in `rendered`. */
  readonly renders: number
  /** Prompts that are in neither, because there was no usable answer. */
  readonly unanswered: number
  readonly categories: ReadonlyArray<{ readonly category: string; readonly prompts: number } & Ratios>
  /** Minus the first policy, over the prompts that both have a ratio of: a paired bootstrap. Null for the first itself. */
  readonly against: { readonly all: Interval; readonly rendered: Interval } | null
}

const ratiosOf = (checks: ReadonlyArray<Check>): Ratios => ({
  all: mean(checks.flatMap((check) => ratioOf(check) ?? [])),
  rendered: mean(checks.flatMap((check) => renderedRatio(check) ?? []))
})

/**
 * @param categories of the prompts, in their order
 * @param policies each policy's checks, in the same order; the first is what the others are compared with
 */
export const requirementMeasures = (
  categories: ReadonlyArray<string>,
  policies: ReadonlyArray<ReadonlyArray<Check>>,
  seed: number
): ReadonlyArray<RequirementMeasures> =>
  policies.map((checks, p) => {
    const change = (ratio: (check: Check) => number | undefined): Interval =>
      pairedBootstrap(checks.flatMap((check, n) => {
        const [own, base] = [ratio(check), ratio(policies[0]![n]!)]
        return own === undefined || base === undefined ? [] : [own - base]
      }), seed)
    const count = (outcome: Check["outcome"]) => checks.filter((check) => check.outcome === outcome).length
    return {
      ...ratiosOf(checks),
      prompts: checks.length - count("unanswered"),
      renders: count("checked"),
      unanswered: count("unanswered"),
      categories: [...new Set(categories)].map((category) => {
        const own = checks.filter((_, n) => categories[n] === category)
        return { category, prompts: own.filter(({ outcome }) => outcome !== "unanswered").length, ...ratiosOf(own) }
      }),
      against: p === 0 ? null : { all: change(ratioOf), rendered: change(renderedRatio) }
    }
  })

/** All that was asked of the drawings. */
export interface RequirementsChecked {
  /** The model that was asked. */
  readonly guide: string
  /** What this evaluation has been charged for it, US dollars; a call of unknown end counts as the most it can cost. */
  readonly costUsd: number
  /** Of each policy, in the order of the prompts. */
  readonly checks: ReadonlyArray<ReadonlyArray<Check>>
  readonly measures: ReadonlyArray<RequirementMeasures>
}
