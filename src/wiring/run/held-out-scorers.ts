/** The scorers that compare before with after, and check the judge. None of them trains the policy. */
import { Effect, type Scope } from "effect"
import * as judgeClip from "../../../layers/judge/clip.ts"
import type { OnnxError, OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { CheckpointInvalid } from "../../model/model-folder.ts"
import { sceneScorer } from "../../evaluation/scene-check.ts"
import type { Scorer } from "../../stages/Scorer.ts"
import { embedded } from "../../system/installed.ts"

/**
 * 95 % of pairs of equally good drawings score closer (`pnpm run bench margins`), in logits. Measure it again for another
 * embedded CLIP.
 */
const clipMargin = 3.6

/** The scene check, and a CLIP of another seed and shape than the judge's. */
export const heldOutScorers: Effect.Effect<
  ReadonlyArray<Scorer>,
  CheckpointInvalid | OnnxError,
  OnnxRuntime | Scope.Scope
> = Effect.map(
  judgeClip.scorer("held-out CLIP", { model: embedded("clip-heldout") }),
  (clip) => [sceneScorer, { ...clip, margin: clipMargin }]
)
