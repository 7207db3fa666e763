/** The part of the page that tells what became of a curriculum's stages. */
import { askedOf, outcomeOf, type StageHistory, stageHistory } from "../curriculum/history.ts"
import type { ReportData } from "./data.ts"
import { type Html, html } from "./html.ts"
import { integer } from "./words.ts"

/** Values shown of a stage: its last ones. */
const mostValues = 24

const values = (evaluations: StageHistory["evaluations"]): string =>
  (evaluations.length > mostValues ? "… " : "") + evaluations.slice(-mostValues).map(({ value }) => value.toFixed(2)).join("  ")

const steps = ({ from, to }: StageHistory, last: number): string => from === null ? "" : `${from + 1}–${to ?? last}`

export const curriculum = ({ config, finished, metrics }: Pick<ReportData, "config" | "finished" | "metrics">): Html => {
  const rows = metrics.map((row, n) => ({ step: row["step"] ?? n, metrics: row }))
  const stages = stageHistory(config, rows, finished)
  const last = (rows.at(-1)?.step ?? -1) + 1
  return stages.length === 0 ? html`` : html`<section aria-labelledby="curriculum-title">
<h2 id="curriculum-title">Curriculum</h2>
<p class="note">Each stage is measured on prompts that no stage trains, drawn as the run draws. When the measure holds, the prompts widen.</p>
<div class="scroll"><table><thead><tr><th scope="col">Stage</th><th scope="col">Prompts</th><th scope="col" class="text">Asked for</th><th scope="col">Steps</th><th scope="col" class="text">Measured</th><th scope="col" class="text">What became of it</th></tr></thead>
<tbody>${
    stages.map((stage) =>
      html`<tr><th scope="row">${stage.terms.name}</th><td>${integer(stage.terms.prompts)}</td><td class="text">${askedOf(stage.terms)}</td><td>${
        steps(stage, last)
      }</td><td class="text">${values(stage.evaluations)}</td><td class="text">${outcomeOf(stage, finished)}</td></tr>`
    )
  }</tbody></table></div>
</section>`
}
