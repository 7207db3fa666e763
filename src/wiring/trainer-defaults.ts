/** Settings of a trainer that only computes log-probabilities, or learns by cross-entropy. */
import type { TrainerOptions, TrainerSpec } from "../../layers/onnx/trainer-program.ts"

export const trainerDefaults = (
  maxLength: number,
  tokensPerRun: number,
  options: Partial<TrainerOptions> = {}
): Pick<TrainerSpec, "objective" | "options"> => ({
  objective: { lossType: "cross_entropy", beta: 0.1, labelSmoothing: 0, nu: 3 },
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
