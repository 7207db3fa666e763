/** The parts of the page that are text, tables and bars. */
import { grouped } from "./curves.ts"
import { type Html, html } from "./html.ts"
import { counted, dollars, duration, integer, interval, meanings, number, percent } from "./words.ts"
import type { Interval } from "../evaluation/statistics.ts"
import type { MetricsRow, ReportData } from "./data.ts"
import { result } from "./learning.ts"
import { learned } from "../run/summary.ts"

const tile = (label: string, value: Html | string, detail: Html | string = ""): Html =>
  html`<div class="tile"><dt>${label}</dt><dd>${value}<small>${detail}</small></dd></div>`

const change = ({ after, before }: { readonly before: number; readonly after: number }, shown: (x: number) => Html | string = percent): Html =>
  html`<span class="from">${shown(before)}<span aria-hidden="true"> → </span><span class="hidden"> to </span></span>${shown(after)}`

export const headline = ({ command, finished, summary, title }: ReportData): Html => {
  const { alarms, costUsd, diversity, learning, length, seconds, steps, validity, winRate } = summary
  const compared = learning !== undefined && learning !== null
  const { lesson, lessons, name, source, title: method } = learned(summary)
  return html`<header>
<h1>${title}</h1>
<p class="trained"><span title="${name}: ${source}">${method}</span>: ${counted(steps, "step")}, ${counted(lessons, lesson)}. <code>${command}</code></p>
${
    !finished
    && html`<p class="warning"><b>Interrupted.</b> The run has not finished; the numbers cover its steps so far.</p>`
  }
${alarms.map(({ message, step }) => html`<p class="warning"><b>Step ${step + 1}.</b> ${message}</p>`)}
${compared ? result(learning) : html`<p class="result">No drawings of held-out prompts were compared.</p>`}
<dl class="tiles">
${
    winRate !== undefined && winRate.n > 0
    && tile("Win rate", percent(winRate.value), html`${interval(winRate)}, ${winRate.scorer}; ${integer(winRate.decided)} of ${integer(winRate.n)} decided${range(winRate)}`)
  }
${compared && validity !== undefined && tile("Valid drawings", change(validity), "held-out prompts")}
${compared && diversity !== undefined && tile("Distinct drawings", change(diversity), "of a prompt’s, at equal entropy")}
${compared && length !== undefined && tile("Length", change(length, integer), "tokens a drawing")}
${tile(lesson === "preference pair" ? "Pairs trained" : "Drawings trained", integer(lessons), counted(steps, "step"))}
${tile("Time", duration(seconds), "wall clock")}
${tile("Cost", dollars(costUsd), "paid to judges")}
</dl>
</header>`
}

/** An interval on a line from 0 to 1 with a mark at one half. */
const range = ({ lower, upper, value }: Interval): Html =>
  html`<span class="range" aria-hidden="true"><i style="left:${(100 * lower).toFixed(1)}%;width:${
    (100 * (upper - lower)).toFixed(1)
  }%"></i><b style="left:${(100 * value).toFixed(1)}%"></b></span>`

const otherFaults: Readonly<Record<string, string>> = {
  "judge/failed": "judge's answers that were not a verdict",
  "pairs/invalid": "pairs of which neither drawing rendered",
  "pairs/stale": "pairs too old to be trained",
  "advantages/stale": "drawings too old to be trained"
}

const sum = (rows: ReadonlyArray<MetricsRow>, name: string): number =>
  rows.reduce((total, row) => total + (row[name] ?? 0), 0)

const mostBars = 60
/** Reasons with a colour of their own; the rest share the last one. */
const coloured = 5

/** Failed drawings a step, stacked by reason, the most frequent at the bottom. */
const failureBars = (metrics: ReadonlyArray<MetricsRow>, names: ReadonlyArray<string>): Html => {
  const bars = grouped(metrics, mostBars).map((rows) => names.map((name) => sum(rows, name) / rows.length))
  const highest = Math.max(...bars.map((parts) => parts.reduce((a, b) => a + b, 0)))
  const rectangles = bars.flatMap((parts, x) => {
    let top = 100
    return parts.map((part, i) => {
      const height = 100 * part / highest
      top -= height
      return part === 0 ? html`` : html`<rect class="k${Math.min(i, coloured) + 1}" x="${x + 0.08}" y="${top.toFixed(2)}" width="0.84" height="${height.toFixed(2)}"/>`
    })
  })
  const first = metrics[0]!["step"] ?? 0
  return html`<div class="bars"><span class="top">${number(highest)} a step</span>
<svg viewBox="0 0 ${bars.length} 100" preserveAspectRatio="none" role="img" aria-label="Failed drawings by training step; the table has the totals">${rectangles}</svg>
<p><span>step ${first}</span><span>${metrics.at(-1)!["step"] ?? metrics.length - 1}</span></p></div>`
}

const quarterMean = (metrics: ReadonlyArray<MetricsRow>, name: string, end: "first" | "last"): string => {
  const n = Math.max(1, Math.floor(metrics.length / 4))
  return (sum(end === "first" ? metrics.slice(0, n) : metrics.slice(-n), name) / n).toFixed(2)
}

export const faults = (metrics: ReadonlyArray<MetricsRow>, summed: Readonly<Record<string, number>>): Html => {
  const measured = new Set(metrics.flatMap(Object.keys).filter((name) => /^svg\/(rejected|killed)\//.test(name)))
  const totals = [...measured]
    .map((name) => [name, sum(metrics, name)] as const)
    .filter(([, total]) => total > 0)
    .toSorted(([, a], [, b]) => b - a)
  const others = Object.entries(summed).filter(([name, n]) => n > 0 && !totals.some(([shown]) => shown === name))
  if (measured.size === 0 && others.length === 0) return html``
  const row = ([name, total]: readonly [string, number], i: number) => {
    const [, kind = "", ...reason] = name.split("/")
    return html`<tr><th scope="row"><i class="key k${Math.min(i, coloured) + 1}"></i>${reason.join("/")}</th><td>${integer(total)}</td><td>${
      quarterMean(metrics, name, "first")
    }</td><td>${quarterMean(metrics, name, "last")}</td><td class="text">${kind === "killed" && "killed: "}${
      meanings[reason.join("/")]
    }</td></tr>`
  }
  return html`<section aria-labelledby="faults-title">
<h2 id="faults-title">Rejected and killed</h2>
${
    totals.length === 0
      ? measured.size > 0 && html`<p class="note">Every drawing of the training steps rendered.</p>`
      : html`<p class="note">Drawings of the training steps that did not render. They lose to any that did, and no judge sees them.</p>
<div class="beside">${failureBars(metrics, totals.map(([name]) => name))}
<div class="scroll"><table><thead><tr><th scope="col">Reason</th><th scope="col">Total</th><th scope="col">First quarter,<br>a step</th><th scope="col">Last quarter,<br>a step</th><th scope="col" class="text">Meaning</th></tr></thead>
<tbody>${totals.map(row)}</tbody></table></div></div>`
  }
${
    others.length > 0 && html`<h3>Other faults the run survived</h3>
<div class="scroll"><table><tbody>${
      others.map(([name, n]) =>
        html`<tr><th scope="row">${name}</th><td>${integer(n)}</td><td class="text">${otherFaults[name]}</td></tr>`
      )
    }</tbody></table></div>`
  }
</section>`
}

const stages = ["sample", "render", "judge", "train"] as const

export const timings = (metrics: ReadonlyArray<MetricsRow>): Html => {
  const times = stages.map((stage) => sum(metrics, `seconds/${stage}`))
  const work = times.reduce((a, b) => a + b, 0)
  if (work === 0) return html``
  const wall = sum(metrics, "seconds/step")
  const scale = 100 / Math.max(work, wall)
  const part = (seconds: number, colour: string) =>
    html`<i class="${colour}" style="width:${(seconds * scale).toFixed(2)}%"></i>`
  return html`<section aria-labelledby="time-title">
<h2 id="time-title">Where the time went</h2>
${
    wall > 0 && html`<p class="note">The stages add up to ${duration(work)} of work in ${duration(wall)} of wall clock: an overlap of <b>${
      (work / wall).toFixed(2)
    }</b>, where 1 is one stage after another.</p>`
  }
<div class="spent" aria-hidden="true"><span>stages</span><div>${
    times.map((seconds, i) => seconds > 0 ? part(seconds, `k${i + 1}`) : html``)
  }</div>${wall > 0 && html`<span>wall clock</span><div>${part(wall, "wall")}</div>`}</div>
<div class="scroll"><table><thead><tr><th scope="col">Stage</th><th scope="col">Total</th><th scope="col">A step</th><th scope="col">Of all work</th></tr></thead>
<tbody>${
    stages.map((stage, i) =>
      html`<tr><th scope="row"><i class="key k${i + 1}"></i>${stage}</th><td>${duration(times[i]!)}</td><td>${
        duration(times[i]! / metrics.length)
      }</td><td>${percent(times[i]! / work)}</td></tr>`
    )
  }</tbody></table></div>
</section>`
}

const flattened = (value: unknown, name: string): ReadonlyArray<readonly [string, string]> => {
  if (typeof value !== "object" || value === null) {
    return [[name, typeof value === "string" ? value : String(JSON.stringify(value))]]
  }
  if (Array.isArray(value)) return [[name, JSON.stringify(value)]]
  return Object.entries(value).flatMap(([key, inner]) => flattened(inner, name === "" ? key : `${name}.${key}`))
}

export const settings = (config: Readonly<Record<string, unknown>>): Html => {
  const rows = flattened(config, "")
  return rows.length === 0 ? html`` : html`<section aria-labelledby="settings-title">
<h2 id="settings-title">Settings</h2>
<details><summary>${counted(rows.length, "setting")} of this run</summary>
<div class="scroll"><table class="settings"><tbody>${
    rows.map(([name, value]) => html`<tr><th scope="row">${name}</th><td class="text">${value}</td></tr>`)
  }</tbody></table></div></details>
</section>`
}
