/**
 * Scorers as their worker sees them: plain data and graphs. Nothing here or in engine/ imports Effect: loading it would
 * take the thread longer than most of its work.
 *
 * A new family needs its checkpoint and its line in `graphsOf` here, and a file beside this one that opens its folder.
 */
import type { WeightFiles } from "../model/model-folder.ts"
import * as blip from "../engine/nets/blip.ts"
import * as clip from "../engine/nets/clip.ts"
import * as dinov2 from "../engine/nets/dinov2.ts"
import type { VisionConfig } from "../engine/nets/encoder.ts"
import type { Graph, Value } from "../engine/graph/graph.ts"
import { turning } from "../engine/nets/open-clip.ts"
import type { Get } from "../engine/weights/parameters.ts"
import type { Preprocessing } from "./preprocessing-steps.ts"
import * as siglip from "../engine/nets/siglip.ts"

/** What all checkpoints have. */
export interface ScorerFiles extends WeightFiles {
  readonly preprocessing: Preprocessing
  /** Length that a text's ids are padded to; 0 if the family reads none. */
  readonly textLength: number
}

export interface ClipCheckpoint extends ScorerFiles {
  readonly family: "clip"
  readonly config: clip.ClipConfig
}

export interface SiglipCheckpoint extends ScorerFiles {
  readonly family: "siglip"
  readonly config: siglip.SiglipConfig
}

export interface Dinov2Checkpoint extends ScorerFiles {
  readonly family: "dinov2"
  readonly config: VisionConfig
}

export interface HpsCheckpoint extends ScorerFiles {
  readonly family: "hps"
  readonly config: clip.ClipConfig
}

export interface ImageRewardCheckpoint extends ScorerFiles {
  readonly family: "image-reward"
  readonly config: blip.BlipConfig
}

export type ScorerCheckpoint =
  | ClipCheckpoint
  | SiglipCheckpoint
  | Dinov2Checkpoint
  | HpsCheckpoint
  | ImageRewardCheckpoint

/** A text as a family's graph reads it. */
export interface Tokens {
  /** Padded to the family's length. */
  readonly ids: ReadonlyArray<number>
  /** How many of them come before the padding, >= 1. */
  readonly length: number
}

/**
 * The inputs a graph may read; only those it asks for are declared. An `item` is whatever is scored: a picture, a text,
 * a pair.
 */
export interface Inputs {
  /** [item, 3, side, side] float32, normalised (channel, row, column). */
  readonly pixels: () => Value
  /** [item, textLength] int64. */
  readonly ids: () => Value
  /** [item] int64: row * textLength + place of the last token. */
  readonly ends: () => Value
  /** [item, textLength] float32: 1 for a token, 0 for padding. */
  readonly mask: () => Value
}

export const inputsOf = (g: Graph, { preprocessing: { side }, textLength }: ScorerFiles): Inputs => ({
  pixels: () => g.input("pixels", "float32", ["item", 3, side, side]),
  ids: () => g.input("ids", "int64", ["item", textLength]),
  ends: () => g.input("ends", "int64", ["item"]),
  mask: () => g.input("mask", "float32", ["item", textLength])
})

/** Builds a graph's one output: [item, width]. */
export type Build = (g: Graph, get: Get, inputs: Inputs) => Value

/** Embeddings of pictures and of texts or, if a family reads them together, one score a pair. */
export interface Graphs {
  readonly pictures?: Build
  readonly texts?: Build
  readonly pairs?: Build
}

export const graphsOf = (checkpoint: ScorerCheckpoint): Graphs => {
  switch (checkpoint.family) {
    case "clip":
      return {
        pictures: (g, get, { pixels }) => clip.encodeImages(g, get, checkpoint.config, pixels()),
        texts: (g, get, { ends, ids }) => clip.encodeTexts(g, get, checkpoint.config, ids(), ends())
      }
    case "hps":
      return {
        pictures: (g, get, { pixels }) => clip.encodeImages(g, turning(g, get), checkpoint.config, pixels()),
        texts: (g, get, { ends, ids }) => clip.encodeTexts(g, turning(g, get), checkpoint.config, ids(), ends())
      }
    case "image-reward":
      return {
        pairs: (g, get, { ids, mask, pixels }) => {
          const { config } = checkpoint
          return blip.scoreTexts(g, get, config, ids(), mask(), blip.encodePictures(g, get, config, pixels()))
        }
      }
    case "siglip":
      return {
        pictures: (g, get, { pixels }) => siglip.encodeImages(g, get, checkpoint.config, pixels()),
        texts: (g, get, { ids }) => siglip.encodeTexts(g, get, checkpoint.config, ids())
      }
    case "dinov2":
      return { pictures: (g, get, { pixels }) => dinov2.encodeImages(g, get, checkpoint.config, pixels()) }
  }
}
