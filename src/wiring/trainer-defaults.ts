/** Settings of a trainer that only scores, or learns by cross-entropy: the preference loss is never asked for. */
import type { TrainerOptions, TrainerSpec } from "../../layers/onnx/trainer-program.ts"

export const trainerDefaults = (
  maxLength: number,
  tokensPerRun: number,
  options: Partial<TrainerOptions> = {}
): Pick<TrainerSpec, "loss" | "options"> => ({
  loss: { lossType: "sigmoid", beta: 0.1, labelSmoothing: 0 },
  options: {
    learningRate: 0,
    schedulerType: "constant",
    warmupSteps: 0,
    totalSteps: 1,
    maxGradNorm: 0,
    weightDecay: 0,
    adamBeta1: 0.9,
    adamBeta2: 0.999,
    adamEpsilon: 1e-8,
    maxLength,
    tokensPerRun,
    gradientCheckpointing: false,
    ...options
  }
})
