/** The programs that a thread with sessions can run. Each owns its sessions and frees them in `release`. */
import type { ChosenObjective } from "../../src/objectives/objectives.ts"
import { ObjectiveProgram } from "./objective-program.ts"
import { SamplerProgram } from "./sampler-program.ts"
import { ScorerProgram } from "./scorer-program.ts"
import { ServingProgram } from "./serving-program.ts"
import { Trainer } from "./trainer-program.ts"

export const programs = {
  objective: (chosen: ChosenObjective) => new ObjectiveProgram(chosen),
  sampler: (spec: ConstructorParameters<typeof SamplerProgram>[0]) => new SamplerProgram(spec),
  scorer: (spec: ConstructorParameters<typeof ScorerProgram>[0]) => new ScorerProgram(spec),
  serving: (spec: ConstructorParameters<typeof ServingProgram>[0]) => new ServingProgram(spec),
  trainer: (spec: ConstructorParameters<typeof Trainer>[0]) => new Trainer(spec)
} as const

export type ProgramName = keyof typeof programs
export type Program<Name extends ProgramName> = ReturnType<(typeof programs)[Name]>
export type Spec<Name extends ProgramName> = Parameters<(typeof programs)[Name]>[0]
