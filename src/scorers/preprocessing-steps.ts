/** What vision models do to a picture before they see it, as their checkpoints write it down. */
import type { Filter } from "../drawing/resize.ts"

export interface Preprocessing {
  /** Pixels of a side that pictures are resized to. */
  readonly resized: number
  /** Pixels of a side that are cut from the middle of that; what is missing there is black. What the graph reads. */
  readonly side: number
  readonly filter: Filter
  /** Resized as floats, unrounded, as HPSv2 does; `side` is then `resized`. */
  readonly unrounded?: boolean
  /** A byte is multiplied with this: 1 / 255. */
  readonly factor: number
  readonly mean: ReadonlyArray<number>
  readonly std: ReadonlyArray<number>
}

export type Normalisation = Pick<Preprocessing, "factor" | "mean" | "std">
