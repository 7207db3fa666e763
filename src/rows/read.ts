/** Training rows from a file: a JSON array, or a JSON object a line. */
import { Effect } from "effect"
import type { Role } from "../roles/roles.ts"
import { FileProblem, readText } from "../system/files.ts"
import { kindOf } from "./kind.ts"
import { type Conversation, conversationOf, RowRefused } from "./shapes.ts"

export interface TrainingRow extends Omit<Conversation, "kind"> {
  readonly kind: Role
  readonly file: string
  /** For sentences: `rows.jsonl, line 3`, or `rows.json, entry 3`. Both count from 1. */
  readonly where: string
}

const json = (text: string, where: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new RowRefused(`${where}: it is not JSON: ${(cause as Error).message.replace(/\s+/g, " ")}`)
  }
}

const rowsIn = (file: string, text: string): ReadonlyArray<readonly [where: string, row: unknown]> => {
  if (/^\s*\[/.test(text)) return (json(text, file) as ReadonlyArray<unknown>).map((row, n) => [`${file}, entry ${n + 1}`, row])
  return text.split("\n").flatMap((line, n) => {
    const where = `${file}, line ${n + 1}`
    return line.trim() === "" ? [] : [[where, json(line, where)] as const]
  })
}

const trainingRow = (file: string, where: string, row: unknown): TrainingRow => {
  try {
    const conversation = conversationOf(row)
    return { ...conversation, kind: kindOf(conversation), file, where }
  } catch (cause) {
    if (cause instanceof RowRefused) throw new RowRefused(`${where}: ${cause.message}`)
    throw cause
  }
}

/**
 * All rows, in their order. What the file is called does not matter: one that begins with `[` is an array. Fails with
 * `FileProblem`, which names line or entry, at the first row that cannot be used.
 */
export const readTrainingRows = Effect.fnUntraced(function*(file: string) {
  const text = yield* readText(file)
  const rows = yield* Effect.suspend(() => {
    try {
      return Effect.succeed(rowsIn(file, text).map(([where, row]) => trainingRow(file, where, row)))
    } catch (cause) {
      if (cause instanceof RowRefused) return Effect.fail(new FileProblem({ message: `${cause.message}.` }))
      throw cause
    }
  })
  return rows.length > 0 ? rows : yield* new FileProblem({ message: `${file} has no rows.` })
})
