/** Views by the hash of the address, so that each can be linked and the back button works. */
import { useEffect, useState } from "preact/hooks"
import type { Place } from "./ask.ts"

export const tabs = ["overview", "rollouts", "compare", "playground", "votes"] as const
export type Tab = (typeof tabs)[number]

export interface Route {
  /** Undefined: the list of runs. */
  readonly run: string | undefined
  readonly tab: Tab
  /** A single drawing. */
  readonly place: Place | undefined
  readonly query: URLSearchParams
}

const plain = (part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export const routeOf = (hash: string): Route => {
  const [path = "", query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s)
  const [kind, run, view, step, promptId, index] = path.split("/").slice(1).map(plain)
  const of = (route: Partial<Route>): Route => ({ run: undefined, tab: "overview", place: undefined, query: new URLSearchParams(query), ...route })
  if (kind !== "run" || run === undefined || run === "") return of({})
  if (view === "rollout" && promptId !== undefined) {
    return of({ run, tab: "rollouts", place: { step: Number(step), promptId, index: Number(index) } })
  }
  return of({ run, tab: tabs.find((tab) => tab === view) ?? "overview" })
}

const inRun = (run: string): string => `#/run/${encodeURIComponent(run)}`

export const toRuns = "#/"

/** Empty values are left out. */
export const toTab = (run: string, tab: Tab, query: ReadonlyArray<readonly [string, string]> = []): string => {
  const known = new URLSearchParams(query.filter(([, value]) => value !== "").map(([name, value]) => [name, value])).toString()
  return `${inRun(run)}/${tab}${known === "" ? "" : `?${known}`}`
}

export const toRollout = (run: string, { index, promptId, step }: Place): string =>
  `${inRun(run)}/rollout/${step}/${encodeURIComponent(promptId)}/${index}`

/** Changes the address without a new entry for the back button: a filter while it is typed. */
export const replace = (hash: string): void => location.replace(hash)

export const useRoute = (): Route => {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const changed = () => setHash(location.hash)
    addEventListener("hashchange", changed)
    return () => removeEventListener("hashchange", changed)
  }, [])
  return routeOf(hash)
}
