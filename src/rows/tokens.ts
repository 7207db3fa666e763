/** The tokens of a row: what the policy is shown, then what it is taught. */
import { type PolicyTokenizer, type PromptFormat, promptIds } from "../model/tokenizer/tokenizer.ts"
import { critiquePrefill } from "../roles/roles.ts"
import type { TrainingRow } from "./read.ts"

/** Drawings begin with the form's prefill; a critique with its own, if its answer does. Neither is trained. */
const prefillOf = ({ answer, kind }: TrainingRow, { prefill }: PromptFormat): string =>
  kind !== "critique" ? prefill : answer.startsWith(critiquePrefill) ? critiquePrefill : ""

/** A conversation as it is; the form's system message is put before one that has none. */
const conversationIds = (tokenizer: PolicyTokenizer, { prefill, systemPrompt }: PromptFormat, context: TrainingRow["context"]): Array<number> => {
  const system = systemPrompt === "" || context[0]!.role === "system" ? [] : [{ role: "system", content: systemPrompt }]
  return tokenizer.encode(tokenizer.chat([...system, ...context]) + prefill)
}

/** Prompt, completion, and the token that ends an answer. Throws `CheckpointInvalid`, as the tokenizer does. */
export const tokensOf = (tokenizer: PolicyTokenizer, form: PromptFormat, row: TrainingRow) => {
  const prefill = prefillOf(row, form)
  const start = row.prompt === undefined
    ? conversationIds(tokenizer, { ...form, prefill }, row.context)
    : promptIds(tokenizer, { ...form, prefill }, row.prompt)
  const rest = row.answer.startsWith(prefill) ? row.answer.slice(prefill.length) : row.answer
  return { ids: [...start, ...tokenizer.encode(rest), ...tokenizer.eosIds.slice(0, 1)], promptLength: start.length }
}
