/** The model card's text below its front matter (adapter/README.md). */
import type { Base } from "../model/adapter.ts"
import type { Summary } from "./summary.ts"

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

export const modelCard = (summary: Summary, base: Base): string => {
  const { diversity, pairs, seconds, steps, validity, winRate } = summary
  const revision = base.revision === null ? "" : `, revision="${base.revision}"`
  return `
# SVG adapter for ${base.name}

A LoRA adapter trained by online DPO with vequinox: ${steps} steps on ${pairs} preference pairs in ${Math.round(seconds)} s.

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
}
