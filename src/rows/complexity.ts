/** How complex a row's drawing is, and the stages of a curriculum that follow from it. */
import { extractSvg } from "../drawing/extract.ts"
import type { TrainingRow } from "./read.ts"

export const complexities = ["tokens", "elements", "numbers"] as const
/** Of the drawing: its tokens for the policy, its opening tags, or its numbers. */
export type Complexity = typeof complexities[number]

/** What is drawn: the answer, as far as it is written; for a critique the drawing in the question, if it is there as text. */
export const drawingOf = ({ answer, context, kind }: Pick<TrainingRow, "answer" | "context" | "kind">): string =>
  kind === "critique" ? extractSvg(context.findLast(({ role }) => role === "user")!.content) ?? "" : answer

const count = (text: string, pattern: RegExp): number => {
  let found = 0
  for (const _ of text.matchAll(pattern)) found++
  return found
}

/** 0 without a drawing. @param tokens of a text, for that measure */
export const complexityOf = (drawing: string, by: Complexity, tokens: (text: string) => number): number =>
  by === "tokens" ? tokens(drawing) : count(drawing, by === "elements" ? /<[a-z]/gi : /\d+(?:\.\d+)?|\.\d+/g)

/**
 * The largest complexity of each stage but the last: quantiles of the rows that have a drawing. Equal complexities are in
 * one stage. Undefined if a stage would bring no row.
 */
export const stageBounds = (values: ReadonlyArray<number>, stages: number): ReadonlyArray<number> | undefined => {
  const sorted = values.filter((value) => value > 0).sort((a, b) => a - b)
  const bounds = Array.from({ length: stages - 1 }, (_, n) => sorted[Math.ceil((n + 1) * sorted.length / stages) - 1] ?? 0)
  const brings = [...bounds, sorted.at(-1) ?? 0].every((bound, n) => bound > (bounds[n - 1] ?? 0))
  return brings ? bounds : undefined
}

/** From 0. */
export const stageOf = (value: number, bounds: ReadonlyArray<number>): number => bounds.filter((bound) => value > bound).length
