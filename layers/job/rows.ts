/**
 * Preferences as rows that `trl dpo` trains token by token as the sampler drew them.
 *
 * A row is conversational, but its messages hold finished text: the user's is the whole prompt, chat template and prefill
 * included, the assistant's is the completion. The row's own chat template only joins them (TRL hands `chat_template_kwargs` on
 * to `apply_chat_template`, data_utils.py of 1.16.0). A row of plain text would not do: TRL ends both completions with an
 * end-of-sequence token, which a drawing that stopped at `</svg>` never drew, and would train it.
 *
 * TRL reads text, and some drawn tokens are not those that the tokenizer makes of their text. Such a pair cannot be handed over
 * exactly, so it is left out and counted.
 */
import type { Candidate, Preference } from "../../src/domain.ts"
import type { PolicyTokenizer } from "../../src/model/tokenizer/tokenizer.ts"

/** Joins the messages as they are. */
export const joining = "{% for message in messages %}{{ message['content'] }}{% endfor %}"

export interface Rows {
  /** JSON lines, one a pair. */
  readonly text: string
  readonly count: number
  /** Tokens of the longest prompt and completion together. */
  readonly longest: number
  /** Pairs left out: their text reads back as other tokens. */
  readonly respelled: number
}

const isAs = (ids: ReadonlyArray<number>, read: ReadonlyArray<number>): boolean => ids.length === read.length && ids.every((id, n) => id === read[n])

/** Prompt and completion as text; undefined if it reads back as other tokens. */
const spelled = ({ encode, spelled }: PolicyTokenizer, { completionIds, promptIds }: Candidate) => {
  const [prompt, completion] = [spelled(promptIds), spelled(completionIds)]
  return isAs(promptIds, encode(prompt)) && isAs([...promptIds, ...completionIds], encode(prompt + completion)) ? { prompt, completion } : undefined
}

export const rowsOf = (preferences: ReadonlyArray<Preference>, tokenizer: PolicyTokenizer): Rows => {
  const lines: Array<string> = []
  let longest = 0
  for (const { chosen, rejected } of preferences) {
    const [good, bad] = [spelled(tokenizer, chosen), spelled(tokenizer, rejected)]
    if (good === undefined || bad === undefined) continue
    lines.push(JSON.stringify({
      prompt: [{ role: "user", content: good.prompt }],
      chosen: [{ role: "assistant", content: good.completion }],
      rejected: [{ role: "assistant", content: bad.completion }],
      chat_template_kwargs: { chat_template: joining }
    }))
    for (const { completionIds, promptIds } of [chosen, rejected]) longest = Math.max(longest, promptIds.length + completionIds.length)
  }
  return { text: lines.map((line) => `${line}\n`).join(""), count: lines.length, longest, respelled: preferences.length - lines.length }
}
