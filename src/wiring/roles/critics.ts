/** The critics that --critic names. */
import { Effect, Layer } from "effect"
import * as criticContrast from "../../../layers/critic/contrast.ts"
import * as criticGuide from "../../../layers/critic/guide.ts"
import * as criticPolicy from "../../../layers/critic/policy.ts"
import * as judgeClip from "../../../layers/judge/clip.ts"
import type { AnswersFailed } from "../../../layers/guide/answers-failed.ts"
import type { OnnxError, OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { Prompt } from "../../domain.ts"
import { type CheckpointInvalid, openWeights, weightsHash } from "../../model/model-folder.ts"
import type { Critic } from "../../stages/Critic.ts"
import type { PolicySnapshot } from "../../stages/Policy.ts"
import type { Sampler } from "../../stages/Sampler.ts"
import { BadInput } from "../../system/errors.ts"
import { embedded } from "../../system/installed.ts"
import type { JudgeSettings } from "../judges/judge-row.ts"
import { guideLayer } from "../judges/guide-model.ts"
import { costLine } from "../judges/open-judge.ts"

export const criticNames = ["clip", "policy", "claude", "openai"] as const
export type CriticName = typeof criticNames[number]

/** For --help. */
export const criticsHelp = "clip: a CLIP, which says what the drawing looks like instead; policy: the policy itself, if it was taught to (vequinox make-rows); " +
  "claude, openai: a guide model that sees the picture"

export interface CriticOptions {
  readonly name: CriticName
  /** A CLIP's folder, or the guide model's name; empty for the usual one. */
  readonly model: string
  /** Of the judge: prices, budget and stored answers are shared with it. */
  readonly settings: JudgeSettings
  readonly policy: PolicySnapshot
  readonly promptTemplate: string
  readonly prompts: ReadonlyArray<Prompt>
}

export type CriticLayer = Layer.Layer<Critic, AnswersFailed | CheckpointInvalid | OnnxError, OnnxRuntime | Sampler>

/** The settings of a critic that is a guide model. Nobody waits a day for a critique. */
const guideOf = ({ model, name, settings }: Pick<CriticOptions, "model" | "name" | "settings">): JudgeSettings | undefined =>
  name === "claude" || name === "openai" ? { ...settings, guide: name, judge_model: model, judge_batch: false } : undefined

/** What the critic may cost, for people; undefined if it is free. @param drawings the most that it is shown */
export const criticForecast = Effect.fnUntraced(function*(options: Pick<CriticOptions, "model" | "name" | "settings">, drawings: number) {
  const guide = guideOf(options)
  return guide && (yield* costLine(guide, { calls: drawings, use: { inputTokens: 1000, outputTokens: 300 } }, `what is wrong with up to ${drawings} drawings`))
})

/** Fails with what is missing before anything is built. */
export const openCritic: (options: CriticOptions) => Effect.Effect<CriticLayer, BadInput | CheckpointInvalid> = Effect.fn("openCritic")(function*({ model, name, policy, promptTemplate, prompts, settings }: CriticOptions) {
  switch (name) {
    case "policy":
      return criticPolicy.layer({ policy, promptTemplate, seed: settings.seed })
    case "clip": {
      const folder = model === "" ? embedded("clip") : model
      const identity = `clip weights=${weightsHash(yield* openWeights(folder)).slice(0, 16)}`
      return Layer.unwrap(Effect.map(judgeClip.scorer("clip", { model: folder }), (scorer) =>
        criticContrast.layer({ scorer, identity, others: prompts })))
    }
    case "claude":
    case "openai":
      if (name === "openai" && model === "") return yield* new BadInput({ message: "The openai critic has no default model: name the server's with --critic-model." })
      return criticGuide.layer.pipe(Layer.provide(yield* guideLayer(guideOf({ name, model, settings })!)))
  }
})
