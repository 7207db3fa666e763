/** A caller's own layers in a run that is otherwise the usual one. */
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

/** Services that a run gives to each of its layers, a caller's own too. */
export type RunServices = OnnxRuntime | RunDatabase | RunState

/** Errors of the usual layers while they are built. */
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

/** Where a run starts from, new or resumed. */
export interface RunStart {
  readonly settings: TrainConfig
  readonly checkpoint: DecoderCheckpoint
  readonly tokenizer: PolicyTokenizer
  /** Undefined if every parameter is trained. */
  readonly lora: LoraConfig | undefined
  /** Fresh, or from the newest checkpoint. */
  readonly state: OptimizerState
}

/** A layer that replaces the usual one, or a function that makes it from the usual one. */
export type Own<S, E, R> =
  | Layer.Layer<S, E, R>
  | ((usual: Layer.Layer<S, StageFailure, RunServices>, start: RunStart) => Layer.Layer<S, E, R>)

/** A caller's own stages. Their errors are the run's; the caller provides what they need beyond `RunServices`. */
export interface OwnLayers<E = any, R = any> {
  /** May also be the name of a judge. A layer gets pictures of `render_size` pixels a side, by default 224. */
  readonly judge?: Own<Judge, E, R> | undefined
  readonly sampler?: Own<Sampler, E, R> | undefined
  readonly renderer?: Own<Renderer, E, R> | undefined
  readonly buffer?: Own<PreferenceBuffer, E, R> | undefined
  readonly optimizer?: Own<Optimizer, E, R> | undefined
}

/** A run's own layers, with every need and failure known: `run` is the boundary. */
export type PlacedLayers = OwnLayers<StageFailure, RunServices>

/** Whether it replaces the usual one, which then need not be opened. */
export const replaces = <S, E, R>(own: Own<S, E, R> | undefined): own is Layer.Layer<S, E, R> =>
  own !== undefined && typeof own !== "function"

export const put = <S>(
  own: Own<S, StageFailure, RunServices> | undefined,
  usual: Layer.Layer<S, StageFailure, RunServices>,
  start: RunStart
): Layer.Layer<S, StageFailure, RunServices> => own === undefined ? usual : replaces(own) ? own : own(usual, start)
