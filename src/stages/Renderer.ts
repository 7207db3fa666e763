/** Text to pixels, behind the validity gate. */
import { Context, type Effect, Schema } from "effect"
import type { Rendering } from "../domain.ts"

/** No renderer can be started on this machine at all. A drawing that fails to render is a `Rendering`, not an error. */
export class RendererUnavailable extends Schema.TaggedError<RendererUnavailable>()("RendererUnavailable", {
  message: Schema.String
}) {}

export interface RenderOptions {
  /** Letters in the drawing are allowed (the prompt asks for text). Default false. */
  readonly allowText?: boolean
}

export class Renderer extends Context.Service<Renderer, {
  readonly name: string
  /** Output size, pixels: every picture is `size` x `size` on an opaque white background. */
  readonly size: number
  readonly render: (svg: string, options?: RenderOptions) => Effect.Effect<Rendering, RendererUnavailable>
}>()("vequinox/Renderer") {}
