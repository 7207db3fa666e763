/** All runs of the folder. */
import { useEffect } from "preact/hooks"
import type { Runs, RunCard } from "./ask.ts"
import { counted, dollars, duration, integer, percent } from "../../report/words.ts"
import { date } from "./format.ts"
import { html } from "./html.ts"
import { toTab } from "./route.ts"

export const Standing = ({ standing }: { readonly standing: RunCard["standing"] }) =>
  html`<span class=${`standing ${standing}`}>${standing}</span>`

export const Progress = ({ step, steps }: Pick<RunCard, "step" | "steps">) =>
  html`<progress max=${steps ?? Math.max(1, step)} value=${step} aria-label="Steps done"></progress>`

/** From one share to the other. */
export const Change = ({ after, before }: { readonly before: number; readonly after: number }) =>
  html`<span class="from">${percent(before)}<span aria-hidden="true"> → </span><span class="hidden"> to </span></span>${percent(after)}`

const Card = ({ run }: { readonly run: RunCard }) =>
  html`<li class="card run-card">
    <p class="top"><a href=${toTab(run.name, "overview")}>${run.name}</a><${Standing} standing=${run.standing} /></p>
    <${Progress} step=${run.step} steps=${run.steps} />
    <p class="soft">${run.steps === null ? counted(run.step, "step") : `${integer(run.step)} of ${counted(run.steps, "step")}`} in ${duration(run.seconds)}${run.startedAt !== null && `, begun ${date(run.startedAt)}`}</p>
    <dl>
      <div><dt>Judge</dt><dd>${run.judge ?? "–"}</dd></div>
      <div><dt>Objective</dt><dd>${run.objective ?? "–"}</dd></div>
      <div><dt>Cost</dt><dd>${dollars(run.costUsd)}</dd></div>
      <div><dt>Drawn right</dt><dd>${run.right === null ? "–" : html`<${Change} before=${run.right.before} after=${run.right.after} />`}</dd></div>
    </dl>
  </li>`

export const RunsPage = ({ runs }: { readonly runs: Runs | undefined }) => {
  useEffect(() => {
    document.title = "Runs · vequinox studio"
  }, [])
  if (runs === undefined) return html`<p class="idle">Reading the runs …</p>`
  return html`<section class="first" aria-labelledby="runs-title">
    <h1 id="runs-title" class="big">Runs</h1>
    ${runs.runs.length === 0
      ? html`<p class="idle">There is no run yet. Begin one: <code>npx vequinox train</code></p>`
      : html`<ul class="run-cards">${runs.runs.map((run) => html`<${Card} key=${run.name} run=${run} />`)}</ul>`}
    ${runs.leftOut > 0 && html`<p class="note">${counted(runs.leftOut, "older run")} left out.</p>`}
  </section>`
}
