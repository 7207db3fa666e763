/**
 * Drawings that ended their renderer's process through their own content: none is tried a second time. Whether a
 * drawing meets its deadline also depends on how busy the machine is, so a resumed run must not test it again: it uses
 * the store in its database (layers/store/killed-drawings.ts). If something else ended the process, that says nothing
 * about the drawing.
 */
import { Context, Effect } from "effect"
import type { Rendering } from "../domain.ts"
import type { RendererUnavailable } from "./Renderer.ts"

export type Killed = Extract<Rendering, { _tag: "Killed" }>

/** By a drawing's SHA-256, hex. A store that fails makes the renderer unavailable. */
export class KilledDrawings extends Context.Service<KilledDrawings, {
  readonly recall: (hash: string) => Effect.Effect<Killed | undefined, RendererUnavailable>
  readonly record: (hash: string, killed: Killed) => Effect.Effect<void, RendererUnavailable>
}>()("vequinox/KilledDrawings") {}

/** Keeps the last `most` in memory: for a renderer without a store. */
export const forgetful = (most = 1024): KilledDrawings["Service"] => {
  const known = new Map<string, Killed>()
  return {
    recall: (hash) => Effect.sync(() => known.get(hash)),
    record: (hash, killed) =>
      Effect.sync(() => {
        known.set(hash, killed)
        if (known.size > most) known.delete(known.keys().next().value!)
      })
  }
}
