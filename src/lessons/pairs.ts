/** Pairs of one prompt's drawings. */
import type { Drawing } from "../domain.ts"

export type DrawingPair = readonly [Drawing, Drawing]

/** All pairs i < j, in this order. */
export const allPairs = (drawings: ReadonlyArray<Drawing>): Array<DrawingPair> =>
  drawings.flatMap((a, i) => drawings.slice(i + 1).map((b): DrawingPair => [a, b]))

/** Nothing can be learned from two drawings with the same text or the same pixels. */
export const isDuplicate = ([a, b]: DrawingPair): boolean =>
  a.candidate.svg === b.candidate.svg ||
  (a.rendering._tag === "Rendered" && b.rendering._tag === "Rendered" &&
    a.rendering.picture.hash === b.rendering.picture.hash)
