/** Where a program's seconds went, as parts that add up to all of them. */
import { codeParts, type CodePart } from "./stack-samples.ts"
import { kernelParts } from "./kernels.ts"
import type { SessionKind, SessionSeconds } from "./sessions.ts"

export interface PartOfTime {
  readonly part: string
  readonly seconds: number
  /** Of all seconds, 0 to 1. */
  readonly share: number
}

export interface Time {
  /** Wall clock of one step. */
  readonly seconds: number
  /** Those that took any time, as a table lists them. Their shares add up to 1. */
  readonly parts: ReadonlyArray<PartOfTime>
}

export interface Measured {
  /** Wall clock of all calls, messages left out. */
  readonly wall: number
  /** What calls and answers take to be copied from thread to thread. */
  readonly messages: number
  readonly sessions: ReadonlyArray<SessionSeconds>
  /** Outside of onnxruntime, by samples: only their ratios are used. */
  readonly code: ReadonlyMap<CodePart, number>
  readonly steps: number
}

const sum = (xs: Iterable<number>): number => [...xs].reduce((a, b) => a + b, 0)

/**
 * Kernels of `main` sessions by part; other sessions as a whole; what a session's runs take beyond its kernels; and what is left of the
 * clock, divided as the samples say.
 *
 * @param main the kind that most of the work is
 */
export const timeOf = ({ code, messages, sessions, steps, wall }: Measured, main: SessionKind): Time => {
  const own = sessions.filter(({ kind }) => kind === main)
  const named = (part: (typeof kernelParts)[number]) => sum(own.map(({ kernels }) => kernels.parts[part]))
  const inKernels = sum(kernelParts.map(named))
  const inRuns = sum(own.map(({ kernels }) => kernels.seconds))
  const whole = (kind: SessionKind) => (kind === main ? 0 : sum(sessions.filter((session) => session.kind === kind).map(({ kernels }) => kernels.seconds)))
  const allRuns = sum(sessions.map(({ kernels }) => kernels.seconds))
  const waited = sum(sessions.map(({ seconds }) => seconds))
  const rest = Math.max(0, wall - waited)
  const weights = sum(code.values())
  const rows: ReadonlyArray<readonly [part: string, seconds: number]> = [
    ...kernelParts.map((part) => [part, named(part)] as const),
    ["between kernels", inRuns - inKernels],
    ["prompts", whole("prompts")],
    ["scores", whole("scores")],
    ["copies", waited - allRuns],
    ...codeParts.map((part) => [part, weights === 0 ? (part === "other" ? rest : 0) : rest * (code.get(part) ?? 0) / weights] as const),
    ["messages", messages]
  ]
  const total = sum(rows.map(([, seconds]) => seconds))
  return {
    seconds: total / steps,
    parts: rows.filter(([, seconds]) => seconds > 0).map(([part, seconds]) => ({ part, seconds: seconds / steps, share: seconds / total }))
  }
}
