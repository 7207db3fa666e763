/** What vision models do to a picture before they see it, as their checkpoints describe it. */
import type { Filter } from "../drawing/resize.ts"

export interface Preprocessing {
  /** Pixels of a side that pictures are resized to. */
  readonly resized: number
  /** Pixels of a side of the middle that is cut out, which the graph reads; missing pixels are black. */
  readonly side: number
  readonly filter: Filter
  /** Resized as floats, unrounded, as HPSv2 does; `side` is then `resized`. */
  readonly unrounded?: boolean
  /** Bytes are multiplied by this: 1 / 255. */
  readonly factor: number
  readonly mean: ReadonlyArray<number>
  readonly std: ReadonlyArray<number>
}

export type Normalisation = Pick<Preprocessing, "factor" | "mean" | "std">
