/** The report of a run: one page that needs no other file and still opens from `file://` years later. */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { client } from "./client.ts"
import { curriculum } from "./curriculum.ts"
import { curves, curvesOf } from "./curves.ts"
import type { ReportData } from "./data.ts"
import { examplesGrid } from "./examples.ts"
import { html, json, trusted } from "./html.ts"
import { pageOf } from "./page.ts"
import { learningSection } from "./learning.ts"
import { faults, headline, settings, timings } from "./sections.ts"
import { style } from "./style.css.ts"

export type { DrawingView, Example, MetricsRow, ReportData, ReportSummary } from "./data.ts"

const { resolve } = createRequire(import.meta.url)
const uPlotFile = (name: string): string => readFileSync(resolve(`uplot/${name}`), "utf8")

/** The page may fetch nothing: a prompt or a setting that gets past the escaping still cannot send anything out. */
const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

export const renderReport = (data: ReportData): string => {
  const { learning, otherWinRates = [], winRate } = data.summary
  const rates = [...winRate === undefined ? [] : [winRate], ...otherWinRates].filter(({ n }) => n > 0)
  const charts = curvesOf(data.metrics)
  const body = html`<main>
${headline(data)}
${learning !== undefined && learning !== null && learningSection(learning, rates)}
${examplesGrid(data.examples)}
${curriculum(data)}
${curves(charts)}
${faults(data.metrics, data.summary.faults)}
${timings(data.metrics)}
${settings(data.config)}
</main>
<footer>Made by vequinox. Curves are drawn by uPlot, MIT licence, © Leon Sorokin.</footer>
<script type="application/json" id="curve-data">${json(charts.data)}</script>
<!--
uPlot
${trusted(uPlotFile("LICENSE"))}-->
<script>${trusted(uPlotFile("dist/uPlot.iife.min.js"))}</script>
<script>${trusted(client)}</script>`
  return pageOf({ title: data.title, policy, style: uPlotFile("dist/uPlot.min.css") + style, body })
}
