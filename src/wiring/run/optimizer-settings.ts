/** A run's settings in the form the optimizer takes. */
import type { OptimizerOnnxOptions } from "../../../layers/optimizer/onnx.ts"
import type { TrainConfig } from "../settings.ts"

export const optimizerOf = (c: TrainConfig): Pick<OptimizerOnnxOptions, "objective" | "options"> => ({
  objective: {
    lossType: c.loss_type,
    lossWeights: c.loss_weights.length === 0 ? undefined : c.loss_weights,
    beta: c.beta,
    labelSmoothing: c.label_smoothing,
    nu: c.rao_kupper_nu,
    rpoAlpha: c.rpo_alpha,
    rejectedFloor: c.rejected_floor,
    ldAlpha: c.ld_alpha,
    useWeighting: c.use_weighting,
    fDivergenceType: c.f_divergence_type,
    fAlphaDivergenceCoef: c.f_alpha_divergence_coef,
    discopopTau: c.discopop_tau,
    epsilon: c.epsilon,
    epsilonHigh: c.epsilon_high,
    delta: c.delta,
    importanceSamplingLevel: c.importance_sampling_level,
    importanceSamplingMode: c.importance_sampling_mode,
    importanceSamplingClipMax: c.importance_sampling_clip_max,
    sapoTemperaturePos: c.sapo_temperature_pos,
    sapoTemperatureNeg: c.sapo_temperature_neg,
    maxCompletionLength: c.max_new_tokens
  },
  options: {
    learningRate: c.learning_rate,
    schedulerType: c.lr_scheduler_type,
    warmupSteps: c.warmup_steps,
    totalSteps: c.max_steps * c.steps_per_generation * c.num_iterations,
    maxGradNorm: c.max_grad_norm,
    weightDecay: c.weight_decay,
    adamBeta1: c.adam_beta1,
    adamBeta2: c.adam_beta2,
    adamEpsilon: c.adam_epsilon,
    maxLength: c.max_length,
    tokensPerRun: c.tokens_per_run,
    gradientCheckpointing: c.gradient_checkpointing,
    stepsPerGeneration: c.steps_per_generation,
    iterations: c.num_iterations,
    syncReference: c.sync_ref_model ? { alpha: c.ref_model_mixup_alpha, steps: c.ref_model_sync_steps } : undefined
  }
})
