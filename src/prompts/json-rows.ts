/**
 * Rows of prompts in files of JSON: an array, or one row a line. The content decides which one it is, not the file's name. A
 * row may be written as
 *
 * - {prompt}, a text or messages, with `category`, `id` and `requirements` if it has them: TRL's rows, SVGBench's questions;
 * - {prompt, major_type, minor_type}: SGP-CompBench, whose types are the category;
 * - {input_metadata: {dataset_info: {original_prompt, requirements}}}: Eval Protocol;
 * - {conversations: [{value}, ...]}, whose first turn is the prompt: SArena.
 */
import { Effect, Option, Schema } from "effect"
import { FileProblem } from "../system/files.ts"

/** A prompt of a file, and what else the file says of it. */
export interface PromptRow {
  readonly text: string
  readonly category: string | undefined
  readonly id: string | undefined
  /** What its drawing must show, at least one; undefined if the row has no list of texts. */
  readonly requirements: ReadonlyArray<string> | undefined
}

export interface JsonRow {
  readonly value: unknown
  /** Where it stands in the file, for people. */
  readonly where: string
}

const lineAt = (text: string, position: number): number => text.slice(0, position).split("\n").length

const arrayIn = (file: string, text: string): Effect.Effect<ReadonlyArray<JsonRow>, FileProblem> =>
  Effect.try({
    try: () => (JSON.parse(text) as ReadonlyArray<unknown>).map((value, i) => ({ value, where: `entry ${i + 1}` })),
    catch: (cause) => {
      const position = /at position (\d+)/.exec((cause as Error).message)?.[1]
      const line = lineAt(text, position === undefined ? text.trimEnd().length : Number(position))
      return new FileProblem({ message: `${file}, line ${line}: it is not JSON from there on.` })
    }
  })

const linesIn = (file: string, text: string): Effect.Effect<ReadonlyArray<JsonRow>, FileProblem> =>
  Effect.forEach(
    text.split(/\r?\n/).map((line, i) => ({ line, where: `line ${i + 1}` })).filter(({ line }) => line.trim() !== ""),
    ({ line, where }) =>
      Effect.try({
        try: (): JsonRow => ({ value: JSON.parse(line), where }),
        catch: () => new FileProblem({ message: `${file}, ${where}: it is not JSON.` })
      })
  )

/** @param file its name, for people */
export const jsonRows = (file: string, text: string): Effect.Effect<ReadonlyArray<JsonRow>, FileProblem> =>
  text.trimStart().startsWith("[") ? arrayIn(file, text) : linesIn(file, text)

const Messages = Schema.Array(Schema.Struct({ role: Schema.String, content: Schema.String }))
const Name = Schema.optionalKey(Schema.Union([Schema.String, Schema.Finite]))
const Plain = Schema.Struct({
  prompt: Schema.Union([Schema.String, Messages]),
  category: Schema.optionalKey(Schema.String),
  id: Name,
  requirements: Schema.optionalKey(Schema.Unknown),
  major_type: Schema.optionalKey(Schema.Unknown),
  minor_type: Schema.optionalKey(Schema.Unknown)
})
const EvalProtocol = Schema.Struct({
  id: Name,
  input_metadata: Schema.Struct({
    dataset_info: Schema.Struct({ original_prompt: Schema.String, requirements: Schema.optionalKey(Schema.Unknown) })
  })
})
const Conversation = Schema.Struct({ id: Name, conversations: Schema.NonEmptyArray(Schema.Struct({ value: Schema.String })) })

const Row = Schema.Union([Plain, EvalProtocol, Conversation])

const asList = Schema.decodeUnknownOption(Schema.Array(Schema.String))
const requirementsIn = (value: unknown): ReadonlyArray<string> | undefined => {
  const list = Option.getOrElse(asList(value), () => []).map((requirement) => requirement.trim()).filter((requirement) => requirement !== "")
  return list.length === 0 ? undefined : list
}

/** Undefined where the row says no type. */
const typesOf = ({ major_type, minor_type }: typeof Plain.Type): string | undefined =>
  [major_type, minor_type].filter((type) => typeof type === "string" && type !== "").join(" ") || undefined

/** What a row says; undefined if it has none of the shapes. */
export const promptRowOf = (value: unknown): PromptRow | undefined => {
  const row = Option.getOrUndefined(Schema.decodeUnknownOption(Row)(value))
  if (row === undefined) return undefined
  const id = row.id === undefined ? undefined : String(row.id)
  if ("conversations" in row) return { text: row.conversations[0].value.trim(), category: undefined, id, requirements: undefined }
  if ("input_metadata" in row) {
    const { original_prompt, requirements } = row.input_metadata.dataset_info
    return { text: original_prompt.trim(), category: undefined, id, requirements: requirementsIn(requirements) }
  }
  const { category, prompt, requirements } = row
  return {
    text: (typeof prompt === "string" ? prompt : prompt.findLast(({ role }) => role === "user")?.content ?? "").trim(),
    category: category ?? typesOf(row),
    id,
    requirements: requirementsIn(requirements)
  }
}
