/** Which layer a judge's name stands for, and the scorers that compare before with after. */
import * as path from "node:path"
import { Effect, type Layer, type Scope } from "effect"
import * as judgeClip from "../../layers/judge-clip.ts"
import * as judgeCoin from "../../layers/judge-coin.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx-runtime.ts"
import type { CheckpointInvalid } from "../checkpoint.ts"
import type { TrainConfig } from "../config.ts"
import type { Scorer } from "../evaluation.ts"
import { checkScene, parseCaption } from "../scenes/index.ts"
import type { Judge } from "../stages/Judge.ts"
import { BadInput, packageRoot } from "./flags.ts"

export type JudgeSettings = Pick<TrainConfig, "judge_model" | "seed" | "tie_margin">

type JudgeLayer = Layer.Layer<Judge, CheckpointInvalid | OnnxError, OnnxRuntime>

const judges: Readonly<Record<string, (settings: JudgeSettings) => JudgeLayer>> = {
  clip: ({ judge_model, tie_margin }) => judgeClip.layer({ model: judge_model, tieMargin: tie_margin }),
  coin: ({ seed }) => judgeCoin.layer(seed)
}

export const judgeNames = Object.keys(judges)

export const judgeNamed = (name: string, settings: JudgeSettings): Effect.Effect<JudgeLayer, BadInput> => {
  const make = Object.hasOwn(judges, name) ? judges[name] : undefined
  return make === undefined
    ? Effect.fail(new BadInput({ message: `There is no judge "${name}": --judge is one of ${judgeNames.join(", ")}.` }))
    : Effect.succeed(make(settings))
}

/** The grammar's own check of colours, counts and relations, on the pixels; it knows only the grammar's prompts. */
export const sceneScorer: Scorer = {
  name: "scene check",
  score: (prompt, picture) =>
    Effect.sync(() => {
      const scene = parseCaption(prompt.text)
      return scene === undefined ? undefined : checkScene(scene, picture).score
    })
}

/** None of these trains: the scene check, and a CLIP of another seed and shape than the judge's. */
export const heldOutScorers: Effect.Effect<
  ReadonlyArray<Scorer>,
  CheckpointInvalid | OnnxError,
  OnnxRuntime | Scope.Scope
> = Effect.map(
  judgeClip.scorer("held-out CLIP", { model: path.join(packageRoot, "models", "clip-heldout") }),
  (clip) => [sceneScorer, clip]
)
