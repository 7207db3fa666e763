/** The run that this process trains: what it tells and how it is steered. */
import { Context, Effect } from "effect"
import type { SteeringWheel } from "../stages/Steering.ts"
import type { AtBox } from "../stages/Traffic.ts"
import type { Overview } from "./api.ts"

type LogLine = (typeof Overview.Type)["log"][number]

/** Lines that are kept. */
const mostLines = 200
/** Characters of a line that are kept. */
const longestLine = 1000

export interface Log {
  readonly add: (line: string) => Effect.Effect<void>
  /** The last ones, oldest first. */
  readonly lines: () => ReadonlyArray<LogLine>
}

/** Remembers the last lines. */
export const makeLog = (): Log => {
  const lines: Array<LogLine> = []
  return {
    add: (line) =>
      Effect.clockWith((clock) =>
        Effect.sync(() => {
          lines.push({ at: clock.currentTimeMillisUnsafe(), line: line.slice(0, longestLine) })
          if (lines.length > mostLines) lines.shift()
        })
      ),
    lines: () => [...lines]
  }
}

export interface LiveRun {
  /** Whole path of its folder; undefined until it has one. */
  readonly folder: () => string | undefined
  /** What the settings let judges cost, US dollars; null where the judge is free. */
  readonly budgetUsd: () => number | null
  readonly wheel: SteeringWheel
  readonly queues: () => ReadonlyArray<AtBox>
  readonly log: Log
}

/** Undefined where this process trains nothing. */
export const Live = Context.Reference<LiveRun | undefined>("vequinox/studio/Live", { defaultValue: () => undefined })
