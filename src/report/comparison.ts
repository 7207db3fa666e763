/** The page of `vequinox eval`: how policies stand, and what they drew, side by side. It needs no other file. */
import { extractSvg } from "../drawing/gate.ts"
import type { Drawn } from "../evaluation/drawings.ts"
import { type Check, ratioOf, type RequirementsChecked } from "../evaluation/requirements.ts"
import type { Asked, Measures, PolicyDrawings, Standing } from "../evaluation/standing.ts"
import type { VariantStanding } from "../evaluation/variants.ts"
import { first, isRight } from "../evaluation/worth.ts"
import type { Interval } from "../evaluation/statistics.ts"
import { type Html, html } from "./html.ts"
import { counted, dollars, interval, number, percent } from "./words.ts"
import { pageOf } from "./page.ts"
import { style } from "./style.css.ts"

export interface ComparisonPage {
  readonly asked: ReadonlyArray<Asked>
  readonly drawn: ReadonlyArray<PolicyDrawings>
  readonly standings: ReadonlyArray<Standing>
  readonly yardstick: { readonly measure: "right" | "score"; readonly scorer: string }
  /** Who chose the best of K, if anybody. */
  readonly judge: string | null
  readonly temperatures: ReadonlyArray<number>
  /** Prompts that temperatures were chosen on. */
  readonly chosenOn: number
  /** Where the policies are runs of variants with several seeds. */
  readonly variants?: ReadonlyArray<VariantStanding>
  /** Where a guide model checked the drawings. */
  readonly requirements?: RequirementsChecked | undefined
}

/** Nothing is loaded; a drawing is an image in a data address, in which no script runs and nothing is fetched. */
const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

const own = `
.scroll { overflow-x: auto; margin-top: 18px; }
table { border-collapse: collapse; font-size: 14px; }
th, td { text-align: right; padding: 6px 12px; border-bottom: 1px solid var(--line); white-space: nowrap; font-weight: 400; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-size: 13px; }
td small { color: var(--soft); }
.drawings th { vertical-align: bottom; }
.drawings td { vertical-align: middle; }
.drawings td:first-child { white-space: normal; max-width: 220px; }
.drawings img, .drawings .none { width: 132px; height: 132px; background: #ffffff; border: 1px solid var(--line); border-radius: 8px; display: block; margin-left: auto; }
.drawings .none { display: grid; place-items: center; padding: 8px; color: #5c636f; font-size: 12px; white-space: normal; text-align: center; }
.drawings details { margin-left: auto; max-width: 260px; white-space: normal; font-size: 13px; }
.drawings ul { margin: 6px 0 0; padding-left: 16px; text-align: left; }
`

const share = (value: { readonly value: number; readonly lower: number; readonly upper: number } | null): Html =>
  value === null ? html`` : html`${percent(value.value)} <small>${interval(value)}</small>`
const signed = (value: number, text: string): string => `${value > 0 ? "+" : value < 0 ? "−" : ""}${text}`

const worthIn = (measure: "right" | "score", value: number): string => (measure === "right" ? percent(value) : number(value))

const change = (of: Interval | null, measure: ComparisonPage["yardstick"]["measure"]): Html => {
  if (of === null) return html``
  const { lower, upper, value } = of
  const figure = (x: number) => signed(x, measure === "right" ? percent(Math.abs(x)) : number(Math.abs(x)))
  return html`${figure(value)} <small>${figure(lower)} to ${figure(upper)}</small>`
}

const variantTable = ({ standings, yardstick: { measure } }: ComparisonPage, all: ReadonlyArray<VariantStanding>): Html =>
  html`<h3>Variants</h3>
<p class="note">Means over the seeds, each run at its best temperature. Intervals are over the prompts and say nothing about other seeds.</p>
<div class="scroll"><table>
<thead><tr><th>variant</th><th>seeds</th><th>${measure === "right" ? "right" : "score"}</th><th>seeds from, to</th><th>at 1</th><th>minus base</th><th>minus ${all[0]!.name}</th></tr></thead>
<tbody><tr><td>base</td><td></td><td>${worthIn(measure, standings[0]!.best.worth)}</td><td></td><td>${worthIn(measure, standings[0]!.plain.worth)}</td><td></td><td></td></tr>${all.map((of) =>
    html`<tr><td>${of.name}</td><td>${of.seeds}</td><td>${worthIn(measure, of.worth.value)} <small>${worthIn(measure, of.worth.lower)} to ${worthIn(measure, of.worth.upper)}</small></td><td>${worthIn(measure, of.lowest)}, ${worthIn(measure, of.highest)}</td><td>${worthIn(measure, of.plain)}</td><td>${change(of.minusBase, measure)}</td><td>${change(of.minusFirst, measure)}</td></tr>`)}</tbody>
</table></div>
<div class="scroll"><table>
<thead><tr><th>category</th>${all.map(({ name }) => html`<th>${name}</th>`)}</tr></thead>
<tbody>${all[0]!.categories.map(({ category }, n) => html`<tr><td>${category}</td>${all.map(({ categories }) => html`<td>${worthIn(measure, categories[n]!.worth)}</td>`)}</tr>`)}</tbody>
</table></div>
<h3>Every run</h3>`

const overall = ({ standings, yardstick: { measure } }: ComparisonPage): Html =>
  html`<div class="scroll"><table>
<thead><tr><th>policy</th><th>temperature</th>${measure === "right" && html`<th>right</th>`}<th>minus ${standings[0]!.name}</th><th>at 1</th><th>renders</th><th>tokens</th><th>nats</th><th>shapes that are no paths</th><th>s a drawing</th></tr></thead>
<tbody>${standings.map((of) => html`<tr><td>${of.name}</td><td>${of.bestTemperature}</td>${measure === "right" && html`<td>${share(of.best.right)}</td>`}<td>${change(of.against?.difference ?? null, measure)}</td><td>${worthIn(measure, of.plain.worth)}</td><td>${percent(of.best.validity)}</td><td>${number(of.best.tokens)}</td><td>${number(of.best.nats)}</td><td>${percent(of.best.primitives)}</td><td>${number(of.seconds)}</td></tr>`)}</tbody>
</table></div>`

const scores = ({ standings }: ComparisonPage): Html =>
  html`<h3>Scores</h3>
<p class="note">Means of the first drawing of each prompt. Where one does not render it counts as the worst that does, by the scene check as 0.</p>
<div class="scroll"><table>
<thead><tr><th>policy</th>${standings[0]!.best.scores.map(({ scorer }) => html`<th>${scorer}</th><th>of those that render</th>`)}</tr></thead>
<tbody>${standings.map(({ best, name }) => html`<tr><td>${name}</td>${best.scores.map(({ all, valid }) => html`<td>${number(all)}</td><td>${number(valid)}</td>`)}</tr>`)}</tbody>
</table></div>`

const categories = ({ standings, yardstick: { measure } }: ComparisonPage): Html => {
  const value = ({ right, worth }: Measures["categories"][number]) => (measure === "right" ? (right === null ? "" : percent(right.value)) : number(worth))
  return html`<h3>By category</h3>
<div class="scroll"><table>
<thead><tr><th>category</th><th>prompts</th>${standings.map(({ name }) => html`<th>${name}</th>`)}</tr></thead>
<tbody>${standings[0]!.best.categories.map(({ category, prompts }, n) =>
    html`<tr><td>${category}</td><td>${prompts}</td>${standings.map(({ best }) => html`<td>${value(best.categories[n]!)}</td>`)}</tr>`)}</tbody>
</table></div>`
}

const several = ({ judge, standings, yardstick: { measure } }: ComparisonPage): Html => {
  const own = standings.flatMap(({ name, several }) => (several === null ? [] : [{ name, ...several }]))
  if (own.length === 0) return html``
  return html`<h3>Several drawings of a prompt</h3>
<p class="note">At the best temperature over 0. Best, mean and worst by the measure itself${judge !== null && html`; chosen: by the judge ${judge}, at the tokens of all that it chose from`}.</p>
<div class="scroll"><table>
<thead><tr><th>policy</th><th>temperature</th><th>drawings</th><th>distinct</th><th>best</th><th>mean</th><th>worst</th><th>chosen</th></tr></thead>
<tbody>${own.map(({ chosen, distinct, k, name, temperature, worth }) =>
    html`<tr><td>${name}</td><td>${temperature}</td><td>${k}</td><td>${percent(distinct)}</td><td>${worthIn(measure, worth.best)}</td><td>${worthIn(measure, worth.mean)}</td><td>${worthIn(measure, worth.worst)}</td><td>${
      chosen.map((of) => `${of.k}: ${worthIn(measure, of.worth)} (${number(of.tokens)} tokens)`).join(", ")
    }</td></tr>`)}</tbody>
</table></div>`
}

const wins = ({ standings }: ComparisonPage): Html =>
  html`<h3>Prompt by prompt against ${standings[0]!.name}</h3>
<div class="scroll"><table>
<thead><tr><th>policy</th><th>by</th><th>wins, ties count half</th><th>decided</th><th>of these won</th></tr></thead>
<tbody>${standings.flatMap(({ against, name }) => (against?.winRates ?? []).map((rate) =>
    html`<tr><td>${name}</td><td>${rate.scorer}</td><td>${share(rate)}</td><td>${rate.decided} of ${rate.n}</td><td>${share(rate.decidedRate)}</td></tr>`))}</tbody>
</table></div>`

const required = ({ standings }: ComparisonPage, { costUsd, guide, measures }: RequirementsChecked): Html => {
  const unanswered = measures.reduce((sum, { unanswered }) => sum + unanswered, 0)
  return html`<h3>Requirements</h3>
<p class="note">Mean over the prompts of the share of requirements that the first drawing meets, as ${guide} sees it${costUsd > 0 && html` (${dollars(costUsd)})`}. A drawing that does not render meets none; beside it the mean of those that render.${
    unanswered > 0 && html` ${counted(unanswered, "drawing")} got no usable answer and count nowhere.`
  }</p>
<div class="scroll"><table>
<thead><tr><th>policy</th><th>prompts</th><th>met</th><th>minus ${standings[0]!.name}</th><th>render</th><th>met by those</th><th>minus ${standings[0]!.name}</th></tr></thead>
<tbody>${measures.map(({ against, all, prompts, rendered, renders }, n) =>
    html`<tr><td>${standings[n]!.name}</td><td>${prompts}</td><td>${percent(all)}</td><td>${change(against?.all ?? null, "right")}</td><td>${renders}</td><td>${renders > 0 && percent(rendered)}</td><td>${change(against?.rendered ?? null, "right")}</td></tr>`)}</tbody>
</table></div>
${measures[0]!.categories.length > 1 && html`<div class="scroll"><table>
<thead><tr><th>category</th>${standings.map(({ name }) => html`<th>${name}</th><th>of those that render</th>`)}</tr></thead>
<tbody>${measures[0]!.categories.map(({ category }, n) =>
    html`<tr><td>${category}</td>${measures.map(({ categories }) => html`<td>${percent(categories[n]!.all)}</td><td>${percent(categories[n]!.rendered)}</td>`)}</tr>`)}</tbody>
</table></div>`}`
}

/** Under a drawing: how much it meets, and on demand what it does not, with what the guide model saw. */
const checkOf = ({ requirements = [] }: Asked, check: Check | undefined): Html => {
  if (check === undefined || check.outcome === "invalid") return html``
  if (check.outcome === "unanswered") return html`<details><summary>not checked</summary>${check.reason}</details>`
  const { rows } = check
  const missed = rows.flatMap(({ evidence, met }, n) => (met ? [] : [html`<li>${requirements[n]!} <small>${evidence}</small></li>`]))
  const met = `${rows.length - missed.length} of ${rows.length} met`
  return ratioOf(check) === 1 ? html`<small>${met}</small>` : html`<details><summary>${met}</summary><ul>${missed}</ul></details>`
}

const pictureOf = (asked: Asked, drawn: Drawn, name: string, check: Check | undefined): Html => {
  const right = isRight(asked.prompt, drawn)
  const svg = extractSvg(drawn.svg)
  const picture = drawn.hash === undefined || svg === undefined
    ? html`<span class="none">${drawn.outcome}</span>`
    : html`<img src="data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}" alt="“${asked.prompt.text}” by ${name}" loading="lazy">`
  return html`<td>${picture}${right !== undefined && html`<small>${right ? "right" : "wrong"}</small>`}${checkOf(asked, check)}</td>`
}

/** Prompts whose drawings are shown. */
const shown = 48

const drawings = ({ asked, drawn, requirements }: ComparisonPage): Html =>
  html`<section class="drawings"><h2>Drawings</h2>
<p class="note">The first drawing of the first ${Math.min(shown, asked.length)} prompts, each policy at its best temperature.</p>
<div class="scroll"><table>
<thead><tr><th>prompt</th>${drawn.map(({ name }) => html`<th>${name}</th>`)}</tr></thead>
<tbody>${asked.slice(0, shown).map((of, n) =>
    html`<tr><td>${of.prompt.text}</td>${drawn.map(({ best, drawn, name }, p) => pictureOf(of, first(drawn.get(best)![n]!), name, requirements?.checks[p]![n]))}</tr>`)}</tbody>
</table></div></section>`

export const renderComparison = (page: ComparisonPage): string => {
  const { asked, chosenOn, requirements, standings, temperatures, variants, yardstick } = page
  const chosen = temperatures.length > 1
    ? ` Each policy is told at its best temperature of ${temperatures.join(", ")}, chosen on ${counted(chosenOn, "other prompt")}.`
    : ""
  const title = `${counted(standings.length, "policy").replace(/policys$/, "policies")}, ${counted(asked.length, "prompt")}`
  const body = html`<main>
<h1>${title}</h1>
<p class="note">${yardstick.measure === "right" ? "Right: the scene check gives at least 0.9." : `Worth is the mean score of ${yardstick.scorer}.`}${chosen} Intervals hold 95 %: shares by Wilson, differences by paired bootstrap over the prompts.</p>
${variants !== undefined && variantTable(page, variants)}
${overall(page)}
${requirements !== undefined && required(page, requirements)}
${categories(page)}
${several(page)}
${scores(page)}
${standings.length > 1 && wins(page)}
${drawings(page)}
</main>
<footer>Made by vequinox eval.</footer>`
  return pageOf({ title: `vequinox eval: ${title}`, policy, style: style + own, body })
}
