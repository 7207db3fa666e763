/** The scorers that compare before with after, and check the judge. None of them trains the policy. */
import { Effect, type Scope } from "effect"
import * as judgeClip from "../../../layers/judge/clip.ts"
import type { OnnxError, OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { CheckpointInvalid } from "../../model/model-folder.ts"
import type { Picture } from "../../domain.ts"
import type { Scorer } from "../../stages/Scorer.ts"
import { resize } from "../../drawing/resize.ts"
import { checkScene, parseCaption } from "../../scenes/index.ts"
import { embedded } from "../../system/installed.ts"

/** Pixels of a side: the size the scene check was measured at. */
const side = 64

const small = ({ height, rgba, width }: Picture) => ({
  width: side,
  height: side,
  rgba: width === side && height === side ? rgba : resize(rgba, width, height, side, side, "box")
})

/** The grammar's own check of colours, counts and relations, on the pixels; it knows only the grammar's prompts. */
const sceneScorer: Scorer = {
  name: "scene check",
  score: (prompt, picture) =>
    Effect.sync(() => {
      const scene = parseCaption(prompt.text)
      return scene === undefined ? undefined : checkScene(scene, small(picture)).score
    })
}

/** The scene check, and a CLIP of another seed and shape than the judge's. */
export const heldOutScorers: Effect.Effect<
  ReadonlyArray<Scorer>,
  CheckpointInvalid | OnnxError,
  OnnxRuntime | Scope.Scope
> = Effect.map(
  judgeClip.scorer("held-out CLIP", { model: embedded("clip-heldout") }),
  (clip) => [sceneScorer, clip]
)
