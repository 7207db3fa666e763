/** Every family that the worker can run. */
import { type ClipCheckpoint, clipGraphs } from "./clip.ts"
import { type Dinov2Checkpoint, dinov2Graphs } from "./dinov2.ts"
import type { Graphs } from "./family.ts"
import { type SiglipCheckpoint, siglipGraphs } from "./siglip.ts"

export type ScorerCheckpoint = ClipCheckpoint | Dinov2Checkpoint | SiglipCheckpoint

export const graphsOf = (checkpoint: ScorerCheckpoint): Graphs => {
  switch (checkpoint.family) {
    case "clip":
      return clipGraphs(checkpoint.config)
    case "dinov2":
      return dinov2Graphs(checkpoint.config)
    case "siglip":
      return siglipGraphs(checkpoint.config)
  }
}
