/** What a cycle of the soak does: its run's settings and the blows that it is to survive, from the soak's seed and the cycle's number. */
import { integer, pick, random, shuffled } from "../../src/engine/random.ts"
import type { FaultKind } from "../support/claude-server.ts"
import type { Expected } from "./check.ts"

/** `kill` is SIGKILL, `interrupt` a Ctrl-C in a terminal, `disk` a disk without space for a while. */
export type BlowKind = "kill" | "interrupt" | "disk"

export interface Blow {
  readonly kind: BlowKind
  /** Where in what is left of the run, in [0, 1). */
  readonly at: number
}

export interface Plan extends Expected {
  readonly seed: number
  readonly saveSteps: number
  /** Share of the judge's answers that fail on their way. */
  readonly faults: number
  /** Share of questions that are never answered. */
  readonly unanswerable: number
  /** One a process. */
  readonly blows: ReadonlyArray<Blow>
}

/** Those after which the same question, asked again, may be answered. */
export const passing: ReadonlyArray<FaultKind> = [
  "429", "500", "529", "408", "reset", "stall", "truncated", "malformed", "empty", "html", "null", "wrong-shape"
]

/** `long` is a run in which memory that is not given back would show, `killed` one that meets nothing but SIGKILL, often. */
export type PlanKind = "mixed" | "long" | "killed"

export const planOf = (seed: number, cycle: number, kind: PlanKind): Plan => {
  const draw = random(seed, cycle)
  const long = kind === "long"
  const kinds: ReadonlyArray<BlowKind> = kind === "killed" ? Array.from({ length: 12 }, () => "kill" as const) : [
    ...shuffled(draw, ["kill", "interrupt", "disk"] as const), // each at least once, where the run does not end before
    ...Array.from({ length: long ? 9 : 2 }, () => pick(draw, ["kill", "kill", "kill", "disk", "interrupt"] as const))
  ]
  return {
    seed: integer(draw, 1e6),
    steps: long ? 40 : 4 + integer(draw, 3),
    maxStaleness: (cycle + seed) % 2,
    saveSteps: 1 + integer(draw, long ? 5 : 3),
    promptsPerStep: 4,
    k: 3,
    lossType: cycle % 3 === 1 ? "reinforce" : "sigmoid",
    hostile: 0.2 + 0.2 * draw(),
    faults: 0.1 + 0.3 * draw(),
    unanswerable: 0.04,
    blows: kinds.map((kind) => ({ kind, at: 0.05 + 0.75 * draw() }))
  }
}
