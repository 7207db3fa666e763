/** Every family that the worker can run. */
import { type ClipCheckpoint, clipGraphs } from "./clip.ts"
import type { Graphs } from "./family.ts"

export type ScorerCheckpoint = ClipCheckpoint

export const graphsOf = (checkpoint: ScorerCheckpoint): Graphs => {
  switch (checkpoint.family) {
    case "clip":
      return clipGraphs(checkpoint.config)
  }
}
