/**
 * Checklists of prompts, from a user's file: SVGBench's questions.json (an array of {prompt, requirements}) or Eval
 * Protocol's JSONL (rows whose input_metadata.dataset_info has original_prompt and requirements). The content decides
 * which one it is, not the file's name; both forms may occur in either kind of file.
 */
import { Effect, Schema } from "effect"
import { FileProblem, readText } from "../../src/system/files.ts"

/** By the prompt's text, at least one for each prompt. */
export type Requirements = ReadonlyMap<string, ReadonlyArray<string>>

const Requirement = Schema.Array(Schema.String).check(Schema.isMinLength(1))
const Row = Schema.Union([
  Schema.Struct({ prompt: Schema.String, requirements: Requirement }),
  Schema.Struct({
    input_metadata: Schema.Struct({
      dataset_info: Schema.Struct({ original_prompt: Schema.String, requirements: Requirement })
    })
  })
])

/** If a prompt occurs twice, the later list counts. */
export const readRequirements = Effect.fn("readRequirements")(function*(file: string) {
  const text = yield* readText(file)
  const rows = text.trimStart().startsWith("[") ? yield* arrayIn(file, text) : yield* linesIn(file, text)
  if (rows.length === 0) return yield* new FileProblem({ message: `${file} has no requirements in it.` })
  const entries = yield* Effect.forEach(rows, ({ value, where }) =>
    Schema.decodeUnknownEffect(Row)(value).pipe(
      Effect.map((row) => "prompt" in row ? [row.prompt, row.requirements] as const : fromEvalProtocol(row)),
      Effect.map(([prompt, requirements]) => [prompt.trim(), requirements.map((r) => r.trim()).filter((r) => r !== "")] as const),
      Effect.filterOrFail(([, requirements]) => requirements.length > 0),
      Effect.mapError(() =>
        new FileProblem({
          message: `${file}, ${where}: it needs "prompt" and a list of "requirements", or both in input_metadata.dataset_info ("original_prompt").`
        })
      )
    ))
  return new Map(entries) as Requirements
})

const fromEvalProtocol = ({ input_metadata: { dataset_info } }: Extract<typeof Row.Type, { readonly input_metadata: unknown }>) =>
  [dataset_info.original_prompt, dataset_info.requirements] as const

interface Found {
  readonly value: unknown
  readonly where: string
}

const lineAt = (text: string, position: number): number => text.slice(0, position).split("\n").length

const arrayIn = (file: string, text: string): Effect.Effect<ReadonlyArray<Found>, FileProblem> =>
  Effect.try({
    try: () => (JSON.parse(text) as ReadonlyArray<unknown>).map((value, i) => ({ value, where: `entry ${i + 1}` })),
    catch: (cause) => {
      const position = /at position (\d+)/.exec((cause as Error).message)?.[1]
      const line = lineAt(text, position === undefined ? text.trimEnd().length : Number(position))
      return new FileProblem({ message: `${file}, line ${line}: it is not JSON from there on.` })
    }
  })

const linesIn = (file: string, text: string): Effect.Effect<ReadonlyArray<Found>, FileProblem> =>
  Effect.forEach(
    text.split(/\r?\n/).map((line, i) => ({ line, where: `line ${i + 1}` })).filter(({ line }) => line.trim() !== ""),
    ({ line, where }) =>
      Effect.try({
        try: (): Found => ({ value: JSON.parse(line), where }),
        catch: () => new FileProblem({ message: `${file}, ${where}: it is not JSON.` })
      })
  )
