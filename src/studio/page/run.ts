/** One run: its head, which says its state in every view, and its tabs. */
import { useEffect, useRef } from "preact/hooks"
import { ask, type Overview } from "./ask.ts"
import { html } from "./html.ts"
import { type Live, useLive } from "./live.ts"
import { type Route, type Tab, tabs, toRuns, toTab } from "./route.ts"
import { Compare } from "./compare.ts"
import { OverviewTab } from "./overview.ts"
import { Playground } from "./playground.ts"
import { RolloutPage } from "./rollout.ts"
import { Rollouts } from "./rollouts.ts"
import { Standing } from "./runs.ts"
import { Steering } from "./steer.ts"
import { Votes } from "./votes.ts"

const names: Readonly<Record<Tab, string>> = { overview: "Overview", rollouts: "Rollouts", compare: "Compare", playground: "Playground", votes: "Votes" }

const Tabs = ({ run, tab }: { readonly run: string; readonly tab: Tab }) => {
  const list = useRef<HTMLDivElement>(null)
  // On a telephone not all of them fit.
  useEffect(() => list.current?.querySelector(`#tab-${tab}`)?.scrollIntoView({ block: "nearest", inline: "nearest" }), [tab])
  const pressed = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -tabs.indexOf(tab), End: tabs.length - 1 - tabs.indexOf(tab) }[event.key]
    if (step === undefined) return
    event.preventDefault()
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length]!
    location.hash = toTab(run, next)
    list.current?.querySelector<HTMLElement>(`#tab-${next}`)?.focus()
  }
  return html`<div class="tabs" role="tablist" aria-label="Views of the run" ref=${list} onKeyDown=${pressed}>
    ${tabs.map((one) => html`<a key=${one} id=${`tab-${one}`} role="tab" href=${toTab(run, one)} aria-selected=${String(one === tab)} aria-controls="view" tabindex=${one === tab ? 0 : -1}>${names[one]}</a>`)}
  </div>`
}

/** Most views begin before the overview is there. */
const view = (route: Route, run: string, overview: Overview | undefined) => {
  const waiting = html`<p class="idle">Reading the run …</p>`
  if (route.place !== undefined) return html`<${RolloutPage} run=${run} place=${route.place} overview=${overview} />`
  switch (route.tab) {
    case "overview": return html`<${OverviewTab} run=${run} overview=${overview} />`
    case "rollouts": return html`<${Rollouts} run=${run} query=${route.query} overview=${overview} />`
    case "compare": return overview === undefined ? waiting : html`<${Compare} run=${run} query=${route.query} overview=${overview} />`
    case "playground": return overview === undefined ? waiting : html`<${Playground} run=${run} query=${route.query} overview=${overview} />`
    case "votes": return html`<${Votes} run=${run} />`
  }
}

export const RunPage = ({ alone, route, run }: { readonly alone: boolean; readonly route: Route; readonly run: string }) => {
  const { refresh, trouble, value }: Live<Overview> = useLive(run, (signal) => ask.overview(run, signal))
  const what = route.place === undefined ? names[route.tab] : "Rollout"
  useEffect(() => {
    document.title = `${value?.run.standing === "running" ? `${value.run.step}/${value.run.steps ?? "?"} · ` : ""}${what} · ${run} · vequinox studio`
  }, [what, run, value])
  return html`
    <div class="run">
      <nav aria-label="Place">${alone ? null : html`<a href=${toRuns}>Runs</a><span aria-hidden="true">/</span>`}<h1>${run}</h1><span role="status">${value && html`<${Standing} standing=${value.run.standing} />`}</span></nav>
      ${value?.steering && html`<${Steering} steering=${value.steering} spent=${value.cost.usd} changed=${refresh} />`}
      <${Tabs} run=${run} tab=${route.tab} />
    </div>
    <p class="trouble" role="status">${trouble}</p>
    <div id="view" role="tabpanel" aria-labelledby=${`tab-${route.tab}`} tabindex="-1">
      ${value === undefined && trouble !== undefined ? null : view(route, run, value)}
    </div>`
}
