/** Writes the model card of a run (adapter/README.md). */
import { percent } from "../evaluation/statistics.ts"
import type { Base, Card } from "../model/adapter.ts"
import { learned, type Summary } from "./summary.ts"

/** "Online DPO" within a sentence. */
const inSentence = (title: string): string => title[0]!.toLowerCase() + title.slice(1)

/** Nothing where nothing was compared. */
const measuresOf = ({ diversity, learning, validity, winRate: w }: Summary): string => {
  if (learning === null) return ""
  const { after, before, measure, right, score, scorer } = learning
  const rows: ReadonlyArray<readonly [name: string, before: string, after: string]> = [
    ["best temperature", String(before.bestTemperature), String(after.bestTemperature)],
    ...measure === "right" && right !== null
      ? [["drawings right", percent(right.before.value), percent(right.after.value)] as const]
      : [[`mean score (${scorer})`, score.before.toFixed(3), score.after.toFixed(3)] as const],
    ["drawings that render", percent(validity.before), percent(validity.after)],
    ["distinct drawings, at equal entropy", percent(diversity.before), percent(diversity.after)]
  ]
  return `${learning.sentence}

| on ${learning.heldOut} held-out prompts, each policy at its best temperature | before | after |
|---|---|---|
${rows.map((row) => `| ${row.join(" | ")} |`).join("\n")}

${
    w.n === 0 ? "" : `Win rate of after against before, ties one half: **${percent(w.value)}**
[${percent(w.lower)}, ${percent(w.upper)}] (95 % Wilson interval, n = ${w.n}, of which ${w.decided} did not tie, scorer: ${w.scorer}).
`
  }`
}

export const modelCard = (summary: Summary, base: Base): Card => {
  const { seconds, steps } = summary
  const { lesson, lessons, name, source, title } = learned(summary)
  const revision = base.revision === null ? "" : `, revision="${base.revision}"`
  const text = `
# SVG adapter for ${base.name}

A LoRA adapter trained by ${inSentence(title)} with vequinox: ${steps} steps on ${lessons} ${lesson}s in ${Math.round(seconds)} s.
Objective: \`${name}\`. ${source}.

${measuresOf(summary)}
\`\`\`python
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("${base.name}"${revision}), "adapter")
\`\`\`
`
  // TRL's names where TRL has the method: online-dpo.
  return { text, tags: [title.toLowerCase().replaceAll(" ", "-")] }
}
