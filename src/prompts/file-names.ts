/** Names of the files that are made of a file's prompts. */
import type { Prompt } from "../domain.ts"
import { fileNames } from "../system/outputs.ts"
import type { PromptRow } from "./json-rows.ts"

/** An id that is a file's name as it is. */
const plainId = /^[\w-][\w.-]{0,99}$/

/** A name for each prompt: its id where that is a file's name and nobody else's, else one made of its text. */
export const namesOf = (rows: ReadonlyArray<PromptRow>, prompts: ReadonlyArray<Prompt>): ReadonlyArray<string> => {
  const ids = rows.map(({ id }) => id)
  const usable = ids.every((id) => id !== undefined && plainId.test(id)) && new Set(ids.map((id) => id!.toLowerCase())).size === ids.length
  return usable ? ids.map((id) => id!) : fileNames(prompts)
}
