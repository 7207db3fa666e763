/** The page: its frame, and which view the address asks for. */
import { render } from "preact"
import { useEffect } from "preact/hooks"
import { ask } from "./ask.ts"
import { html } from "./html.ts"
import { useLive } from "./live.ts"
import { replace, toRuns, toTab, useRoute } from "./route.ts"
import { RunPage } from "./run.ts"
import { RunsPage } from "./runs.ts"
import { choose, useTheme } from "./theme.ts"

const ThemeChoice = () => {
  const theme = useTheme()
  const other = theme === "dark" ? "light" : "dark"
  return html`<button type="button" class="quiet" onClick=${() => choose(other)} aria-label=${`Use ${other} colours`}><span aria-hidden="true">${theme === "dark" ? "☀" : "☾"}</span></button>`
}

const skip = (event: Event) => {
  event.preventDefault() // The hash is the view's.
  document.getElementById("main")?.focus()
}

const Page = () => {
  const route = useRoute()
  const { run } = route
  // Within a run the list only says whether there are others.
  const { trouble, value } = useLive("runs", ask.runs, run === undefined ? undefined : "once")
  const only = value?.runs.length === 1 ? value.runs[0]!.name : undefined
  useEffect(() => {
    if (run === undefined && only !== undefined) replace(toTab(only, "overview"))
  }, [run, only])
  const view = run === undefined ? "runs" : `${run}/${route.tab}/${route.place === undefined ? "" : "rollout"}`
  // Rollouts put their own place back.
  useEffect(() => {
    if (route.tab !== "rollouts" || route.place !== undefined) scrollTo(0, 0)
  }, [view])
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="head"><a class="brand" href=${toRuns}>vequinox <b>studio</b></a><${ThemeChoice} /></header>
    <main id="main" tabindex="-1">
      ${run === undefined
        ? html`<p class="trouble" role="status">${trouble}</p>${only === undefined && html`<${RunsPage} runs=${value} />`}`
        : html`<${RunPage} key=${run} alone=${only !== undefined} route=${route} run=${run} />`}
    </main>`
}

history.scrollRestoration = "manual"
render(html`<${Page} />`, document.getElementById("page")!)
