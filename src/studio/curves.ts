/** A run's curves as the studio draws them: the report's, of a run that may still go on. */
import { Effect } from "effect"
import { curvesOf } from "../report/curves.ts"
import type { Curves } from "./api.ts"
import { Archive } from "./archive.ts"
import type { Memory } from "./reports-so-far.ts"

export const studioCurves = Effect.fnUntraced(function*(folder: string, remember: Memory) {
  const { points: { every, rows } } = yield* remember(folder, yield* (yield* Archive).extent(folder))
  const { shown } = curvesOf(rows)
  return {
    every,
    steps: rows.map(({ step }) => step),
    panels: shown.map(({ note, series, title, unit }) => ({ title, note, share: unit === "share", series: series.map(({ label, values }) => ({ label, values: [...values] })) }))
  } satisfies typeof Curves.Type
})
