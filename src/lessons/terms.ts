/** What a term of a blend is worth. */

/** The scores at which a term is worth 0 and 1, in the judge's unit; not equal. [30, 10] counts a small score as good. */
export type Range = readonly [none: number, full: number]

/** Linear between the two ends, never less than 0 or more than 1. */
export const shareOfRange = (score: number, [none, full]: Range): number => Math.min(1, Math.max(0, (score - none) / (full - none)))
