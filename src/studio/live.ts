/** The run that this process trains: what it tells and how it is steered. */
import { Clock, Context, Deferred, Effect } from "effect"
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

/** A page that has asked within this time, milliseconds, is still open. */
const open = 30_000
/** What a page asks next once it has been told that the run ended: curves and drawings. */
const lastQuestions = "1500 millis"

/** The pages that look at the run. */
export interface Audience {
  /** Answers a page. */
  readonly tell: <A, E, R>(answer: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Whether the run's work is done. */
  readonly ended: () => boolean
  /** Ends the run: an open page is told of it before its server goes, within 10 seconds; without one this takes no time. */
  readonly farewell: Effect.Effect<void>
}

export const makeAudience = Effect.gen(function*() {
  const knows = yield* Deferred.make<void>()
  let ended = false
  let told = -Infinity
  const tell: Audience["tell"] = (answer) =>
    Effect.gen(function*() {
      const last = ended
      const answered = yield* answer
      told = yield* Clock.currentTimeMillis
      if (last) yield* Deferred.succeed(knows, undefined)
      return answered
    })
  const farewell = Effect.gen(function*() {
    ended = true
    if ((yield* Clock.currentTimeMillis) - told > open) return
    yield* Effect.timeoutOption(Effect.andThen(Deferred.await(knows), Effect.sleep(lastQuestions)), "10 seconds")
  })
  return { tell, ended: () => ended, farewell } satisfies Audience as Audience
})

export interface LiveRun {
  /** Whole path of its folder; undefined until it has one. */
  readonly folder: () => string | undefined
  /** What the settings let judges cost, US dollars; null where the judge is free. */
  readonly budgetUsd: () => number | null
  readonly wheel: SteeringWheel
  readonly queues: () => ReadonlyArray<AtBox>
  readonly log: Log
  readonly audience: Audience
}

/** Undefined where this process trains nothing. */
export const Live = Context.Reference<LiveRun | undefined>("vequinox/studio/Live", { defaultValue: () => undefined })
