/**
 * What people import, to compose at two levels: `run` is a whole run with a default for everything you do not give;
 * `train` is the bare stream over layers that you choose. Layers are imported one by one: `vequinox/layers/judge/clip`.
 */
export * from "./domain.ts"
export { withJudgeRetry } from "./lessons/decide.ts"
export {
  type Course,
  defaultPipeline,
  type Drawn,
  type PipelineConfig,
  type PipelineError,
  type Stages,
  type StepOutcome,
  train
} from "./pipeline.ts"
export { embeddedPrompts, promptOf, readPrompts } from "./prompts.ts"
export * from "./stages/Completions.ts"
export * from "./stages/Judge.ts"
export * from "./stages/Optimizer.ts"
export * from "./stages/Policy.ts"
export * from "./stages/PreferenceBuffer.ts"
export * from "./stages/Renderer.ts"
export * from "./stages/Sampler.ts"
export type { OwnLayers, RunServices, RunStart } from "./wiring/run/own-layers.ts"
export { type Run, run, type RunError, type RunOptions } from "./wiring/run/run.ts"
export { RunStopped } from "./wiring/run/run-outcomes.ts"
export { embedded } from "./system/installed.ts"
