/**
 * Checklists of prompts, from a user's file: SVGBench's questions.json (an array of {prompt, requirements}) or Eval
 * Protocol's JSONL (src/prompts/json-rows.ts). Both forms may occur in either kind of file.
 */
import { Effect } from "effect"
import { jsonRows, promptRowOf } from "../../src/prompts/json-rows.ts"
import { FileProblem, readText } from "../../src/system/files.ts"

/** By the prompt's text, at least one for each prompt. */
export type Requirements = ReadonlyMap<string, ReadonlyArray<string>>

/** If a prompt occurs twice, the later list counts. */
export const readRequirements = Effect.fn("readRequirements")(function*(file: string) {
  const rows = yield* jsonRows(file, yield* readText(file))
  if (rows.length === 0) return yield* new FileProblem({ message: `${file} has no requirements in it.` })
  const entries = yield* Effect.forEach(rows, ({ value, where }) => {
    const row = promptRowOf(value)
    return row?.requirements === undefined
      ? Effect.fail(
        new FileProblem({
          message: `${file}, ${where}: it needs "prompt" and a list of "requirements", or both in input_metadata.dataset_info ("original_prompt").`
        })
      )
      : Effect.succeed([row.text, row.requirements] as const)
  })
  return new Map(entries) as Requirements
})
