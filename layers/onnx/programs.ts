/** The programs a session-owning thread can run. Each owns its sessions and frees them in `release`. */
import { ClipProgram } from "./clip-program.ts"
import { DeviceProbe } from "./device-probe.ts"
import { SamplerProgram } from "./sampler-program.ts"
import { Trainer } from "./trainer-program.ts"

export const programs = {
  clip: (spec: ConstructorParameters<typeof ClipProgram>[0]) => new ClipProgram(spec),
  probe: () => new DeviceProbe(),
  sampler: (spec: ConstructorParameters<typeof SamplerProgram>[0]) => new SamplerProgram(spec),
  trainer: (spec: ConstructorParameters<typeof Trainer>[0]) => new Trainer(spec)
} as const

export type ProgramName = keyof typeof programs
export type Program<Name extends ProgramName> = ReturnType<(typeof programs)[Name]>
export type Spec<Name extends ProgramName> = Parameters<(typeof programs)[Name]>[0]
