/** Renders recorded drawings again and scores them: what was drawn is known, so this asks nobody and is always the same. */
import { Effect } from "effect"
import { measured, type PromptDrawn } from "../evaluation/drawings.ts"
import { mean } from "../evaluation/statistics.ts"
import { renderFor } from "../stages/render-for.ts"
import type { Scorer } from "../stages/Scorer.ts"
import type { Result } from "./gains.ts"
import { bestOf, lastOf, type RecordedDrawing, type RefineRecord } from "./record.ts"

/** Drafts, results, what the last round drew, and the rival if every record has one. */
export const measureRecords = Effect.fn("refine.measure")(function*(records: ReadonlyArray<RefineRecord>, scorers: ReadonlyArray<Scorer>) {
  const measure = (of: (record: RefineRecord) => RecordedDrawing) =>
    Effect.forEach(records, Effect.fnUntraced(function*(record) {
      const drawing = of(record)
      const rendering = yield* renderFor(record.prompt, drawing.svg)
      const drawn = yield* measured(scorers, record.prompt, rendering, drawing)
      return { prompt: record.prompt, drawings: [drawn], champions: undefined } satisfies PromptDrawn as PromptDrawn
    }), { concurrency: 32 })
  const spent = (tokensOf: (record: RefineRecord) => number): number => mean(records.map(tokensOf))
  const results: Array<Result> = [
    { name: "draft", drawn: yield* measure(({ draft }) => draft), spent: spent(({ draft }) => draft.tokens) },
    { name: "refined", drawn: yield* measure(bestOf), spent: spent(({ tokens }) => tokens) },
    { name: "last drawn", drawn: yield* measure(lastOf), spent: spent(({ tokens }) => tokens) }
  ]
  if (records.every(({ beside }) => beside !== null)) {
    results.push({
      name: "best of N",
      drawn: yield* measure(({ beside }) => beside!.drawings[beside!.champion]!),
      spent: spent(({ beside }) => beside!.drawings.reduce((sum, { tokens }) => sum + tokens, 0))
    })
  }
  return results as ReadonlyArray<Result>
})
