/** Writes the model card of a run (adapter/README.md). */
import { percent } from "../evaluation/statistics.ts"
import type { Base, Card } from "../model/adapter.ts"
import { learned, type Summary } from "./summary.ts"

/** "Online DPO" within a sentence. */
const inSentence = (title: string): string => title[0]!.toLowerCase() + title.slice(1)

export const modelCard = (summary: Summary, base: Base): Card => {
  const { diversity, objective, seconds, steps, validity, winRate } = summary
  const { lesson, lessons, source, title } = learned(summary)
  const revision = base.revision === null ? "" : `, revision="${base.revision}"`
  const text = `
# SVG adapter for ${base.name}

A LoRA adapter trained by ${inSentence(title)} with vequinox: ${steps} steps on ${lessons} ${lesson}s in ${Math.round(seconds)} s.
Objective: \`${objective}\`. ${source}.

| on held-out prompts, equal seeds | before | after |
|---|---|---|
| drawings that render | ${percent(validity.before)} | ${percent(validity.after)} |
| distinct drawings | ${percent(diversity.before)} | ${percent(diversity.after)} |

Win rate of after against before, ties one half: **${percent(winRate.value)}**
[${percent(winRate.lower)}, ${percent(winRate.upper)}] (95 % Wilson interval, n = ${winRate.n}, scorer: ${winRate.scorer}).

\`\`\`python
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("${base.name}"${revision}), "adapter")
\`\`\`
`
  // TRL's names where TRL has the method: online-dpo.
  return { text, tags: [title.toLowerCase().replaceAll(" ", "-")] }
}
