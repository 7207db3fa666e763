/** Layers of one's own in a run that is the usual one otherwise. */
import type { Layer } from "effect"
import type { AnswersFailed } from "../../../layers/guide/answers-failed.ts"
import type { NotEnoughMemory, OnnxError, OnnxRuntime } from "../../../layers/onnx/runtime.ts"
import type { RunDatabase } from "../../../layers/store/run-database.ts"
import type { LoraConfig } from "../../engine/weights/parameters.ts"
import type { CheckpointInvalid, DecoderCheckpoint } from "../../model/model-folder.ts"
import type { PolicyTokenizer } from "../../model/tokenizer/tokenizer.ts"
import type { Judge, JudgeStopped } from "../../stages/Judge.ts"
import type { Optimizer, OptimizerFailed, OptimizerState } from "../../stages/Optimizer.ts"
import type { BufferFailed, PreferenceBuffer } from "../../stages/PreferenceBuffer.ts"
import type { Renderer, RendererUnavailable } from "../../stages/Renderer.ts"
import type { RunState } from "../../stages/RunState.ts"
import type { Sampler, SamplerFailed } from "../../stages/Sampler.ts"
import type { FileProblem } from "../../system/files.ts"
import type { TrainConfig } from "../settings.ts"

/** What a run has for every layer of it, one's own too. */
export type RunServices = OnnxRuntime | RunDatabase | RunState

/** What the usual layers may fail with while they are built. */
export type StageFailure =
  | AnswersFailed
  | BufferFailed
  | CheckpointInvalid
  | FileProblem
  | JudgeStopped
  | NotEnoughMemory
  | OnnxError
  | OptimizerFailed
  | RendererUnavailable
  | SamplerFailed

/** Where a run starts from, a new one or one that goes on. */
export interface RunStart {
  readonly settings: TrainConfig
  readonly checkpoint: DecoderCheckpoint
  readonly tokenizer: PolicyTokenizer
  /** Undefined where every parameter is trained. */
  readonly lora: LoraConfig | undefined
  /** Fresh, or as the newest checkpoint has it. */
  readonly state: OptimizerState
}

/** A layer that takes the usual one's place, or a function that makes it from the usual one. */
export type Own<S, E, R> =
  | Layer.Layer<S, E, R>
  | ((usual: Layer.Layer<S, StageFailure, RunServices>, start: RunStart) => Layer.Layer<S, E, R>)

/** Stages of one's own: their errors are the run's, and what they need beside `RunServices` the caller provides. */
export interface OwnLayers<E = any, R = any> {
  /** In its place `judge` may be the name of a judge. A layer is given pictures of `render_size` pixels a side, by default 224. */
  readonly judge?: Own<Judge, E, R> | undefined
  readonly sampler?: Own<Sampler, E, R> | undefined
  readonly renderer?: Own<Renderer, E, R> | undefined
  readonly buffer?: Own<PreferenceBuffer, E, R> | undefined
  readonly optimizer?: Own<Optimizer, E, R> | undefined
}

/** The layers of a run whose every need and failure is known: the boundary is `run`. */
export type PlacedLayers = OwnLayers<StageFailure, RunServices>

/** It takes the usual one's place, so that the usual one need not be opened. */
export const replaces = <S, E, R>(own: Own<S, E, R> | undefined): own is Layer.Layer<S, E, R> =>
  own !== undefined && typeof own !== "function"

export const put = <S>(
  own: Own<S, StageFailure, RunServices> | undefined,
  usual: Layer.Layer<S, StageFailure, RunServices>,
  start: RunStart
): Layer.Layer<S, StageFailure, RunServices> => own === undefined ? usual : replaces(own) ? own : own(usual, start)
