/** Judges by a model's scores, as --judge names them: their layers, and the size in which each sees best. */
import * as path from "node:path"
import { Effect, type Layer } from "effect"
import * as judgeClip from "../../layers/judge-clip.ts"
import * as judgeDino from "../../layers/judge-dino.ts"
import * as judgeHps from "../../layers/judge-hps.ts"
import * as judgeImageReward from "../../layers/judge-imagereward.ts"
import * as judgePickscore from "../../layers/judge-pickscore.ts"
import * as judgeSiglip from "../../layers/judge-siglip.ts"
import type { OnnxError, OnnxRuntime } from "../../layers/onnx-runtime.ts"
import type { CheckpointInvalid } from "../checkpoint.ts"
import type { TrainConfig } from "../config.ts"
import type { FileProblem } from "../files.ts"
import { readPreprocessing } from "../scorers/preprocessing.ts"
import type { Judge } from "../stages/Judge.ts"
import { BadInput, packageRoot } from "./flags.ts"

export type ScorerSettings = Pick<TrainConfig, "judge_model" | "judge_references" | "tie_margin">

interface ScorerJudge {
  readonly layer: (
    settings: ScorerSettings
  ) => Effect.Effect<Layer.Layer<Judge, CheckpointInvalid | FileProblem | OnnxError, OnnxRuntime>, BadInput>
  /** Pixels of a side. */
  readonly size: (settings: ScorerSettings) => Effect.Effect<number, CheckpointInvalid>
}

/** The checkpoint folder, or what to download where none is given. */
const folderOf = (judge: string, { judge_model }: ScorerSettings, published: string): Effect.Effect<string, BadInput> =>
  judge_model !== "" ? Effect.succeed(judge_model) : Effect.fail(
    new BadInput({ message: `--judge ${judge} needs its checkpoint: download ${published} and give the folder as --judge-model.` })
  )

/** What the checkpoint resizes pictures to, at least 224. */
const ownSize = ({ judge_model }: ScorerSettings) =>
  Effect.map(readPreprocessing(judge_model, { size: 224, mean: [0, 0, 0], std: [1, 1, 1] }), ({ resized }) => Math.max(224, resized))

const clipLayer = ({ judge_model, tie_margin }: ScorerSettings) =>
  judgeClip.layer({
    model: judge_model === "" ? path.join(packageRoot, "models", "clip") : judge_model,
    tieMargin: tie_margin
  })

const dinoLayer = Effect.fnUntraced(function*(settings: ScorerSettings) {
  const model = yield* folderOf("dino", settings, "facebook/dinov2-small")
  if (settings.judge_references === "") {
    return yield* new BadInput({
      message: "--judge dino compares drawings with pictures: name them in a file of lines {\"prompt\": ..., \"image\": ...} and give it as --judge-references."
    })
  }
  return judgeDino.layer({ model, references: settings.judge_references, tieMargin: settings.tie_margin })
})

export const scorerJudges = {
  clip: {
    layer: (settings) => Effect.succeed(clipLayer(settings)),
    size: ({ judge_model }) => Effect.succeed(judge_model === "" ? 64 : 224) // the embedded one was trained on 64
  },
  siglip: {
    layer: (settings) =>
      Effect.map(folderOf("siglip", settings, "google/siglip2-base-patch16-384"), (model) =>
        judgeSiglip.layer({ model, tieMargin: settings.tie_margin })),
    size: ownSize
  },
  pickscore: {
    layer: (settings) =>
      Effect.map(
        folderOf("pickscore", settings, "yuvalkirstain/PickScore_v1, beside it tokenizer.json and tokenizer_config.json of laion/CLIP-ViT-H-14-laion2B-s32B-b79K,"),
        (model) => judgePickscore.layer({ model })
      ),
    size: ownSize
  },
  hps: {
    layer: (settings) =>
      Effect.map(
        folderOf("hps", settings, "HPS_v2.1_compressed.pt of xswu/HPSv2, beside it tokenizer.json of openai/clip-vit-base-patch32,"),
        (model) => judgeHps.layer({ model })
      ),
    size: () => Effect.succeed(224)
  },
  imagereward: {
    layer: (settings) =>
      Effect.map(
        folderOf("imagereward", settings, "ImageReward.pt and med_config.json of THUDM/ImageReward, beside them tokenizer.json of bert-base-uncased,"),
        (model) => judgeImageReward.layer({ model })
      ),
    size: () => Effect.succeed(224)
  },
  dino: { layer: dinoLayer, size: ownSize }
} as const satisfies Readonly<Record<string, ScorerJudge>>
