/** All drawings of a run, filtered, in a window onto a list of any length. */
import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "preact/hooks"
import { type Overview, pictureOf, type RolloutRow } from "./ask.ts"
import { type Feed, makeFeed } from "./feed.ts"
import { counted, integer, meanings } from "../../report/words.ts"
import { html } from "./html.ts"
import { isBetter, record, shortRecord } from "./newest.ts"
import { Picture } from "./picture.ts"
import { replace, toRollout, toTab } from "./route.ts"

const filters = ["prompt", "reason", "verdict", "from", "to", "at"] as const
type Filter = Readonly<Record<(typeof filters)[number], string>>

const filterOf = (query: URLSearchParams): Filter =>
  Object.fromEntries(filters.map((name) => [name, query.get(name) ?? ""])) as unknown as Filter

/** As the server reads it: a jump to a step leaves out the steps after it. */
const askedOf = ({ at, to, ...rest }: Filter): Readonly<Record<string, string>> => {
  const last = [at, to].filter((step) => step !== "").map(Number)
  const asked = { ...rest, to: last.length === 0 ? "" : String(Math.min(...last)) }
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== ""))
}

interface Kept {
  readonly key: string
  readonly run: string
  /** Its address. */
  readonly hash: string
  readonly feed: Feed
  scroll: number
  /** The drawing that was opened from it. */
  opened: number | undefined
  changed: () => void
}

/** The last list, so that the way back from a drawing leads to the same place. */
let kept: Kept | undefined
/** How often a list was asked for anew. */
let rounds = 0

/** Where the drawings of the run were last looked at. */
export const lastList = (run: string): string => kept?.run === run ? kept.hash : toTab(run, "rollouts")

const Choice = ({ label, name, options, set, value }: {
  readonly label: string
  readonly name: keyof Filter
  readonly options: ReadonlyArray<readonly [string, string]>
  readonly set: (name: keyof Filter, value: string) => void
  readonly value: string
}) =>
  html`<label class="field">${label}<select value=${value} onChange=${(event: Event) => set(name, (event.target as HTMLSelectElement).value)}>
    ${options.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}
  </select></label>`

const reasons: ReadonlyArray<readonly [string, string]> = [["", "any"], ["rendered", "rendered"], ...Object.keys(meanings).map((reason) => [reason, reason] as const)]
const verdicts: ReadonlyArray<readonly [string, string]> = ["", "won", "lost", "tied", "failed", "unjudged"].map((verdict) => [verdict, verdict || "any"])

const Filters = ({ filter, run }: { readonly filter: Filter; readonly run: string }) => {
  const [draft, setDraft] = useState(filter)
  const timer = useRef(0)
  const known = JSON.stringify(filter)
  useEffect(() => setDraft(filter), [known])
  const show = (next: Filter) => replace(toTab(run, "rollouts", Object.entries(next)))
  const set = (name: keyof Filter, value: string) => {
    clearTimeout(timer.current)
    const next = { ...draft, [name]: value }
    setDraft(next)
    show(next)
  }
  /** Not after every key. */
  const type = (name: keyof Filter) => (event: InputEvent) => {
    const input = event.target as HTMLInputElement
    const next = { ...draft, [name]: input.value }
    setDraft(next)
    clearTimeout(timer.current)
    if (input.validity.valid) timer.current = window.setTimeout(() => show(next), 300)
  }
  useEffect(() => () => clearTimeout(timer.current), [])
  const step = (name: keyof Filter, label: string) =>
    html`<label class="field step">${label}<input type="number" min="0" max="2147483647" step="1" inputmode="numeric" value=${draft[name]} onInput=${type(name)} /></label>`
  return html`<form class="filters" role="search" aria-label="Filter the drawings" onSubmit=${(event: Event) => event.preventDefault()}>
    <label class="field wide">Prompt<input type="search" maxlength="2000" placeholder="part of a prompt" value=${draft.prompt} onInput=${type("prompt")} /></label>
    <${Choice} label="Rendering" name="reason" options=${reasons} value=${draft.reason} set=${set} />
    <${Choice} label="Verdict" name="verdict" options=${verdicts} value=${draft.verdict} set=${set} />
    ${step("from", "First step")}${step("to", "Last step")}${step("at", "Jump to step")}
  </form>`
}

interface CardProps {
  readonly hurried: boolean
  readonly place: number
  /** Undefined until it is read. */
  readonly row: RolloutRow | undefined
  readonly run: string
  readonly open: () => void
}

const Card = ({ hurried, open, place, row, run }: CardProps) => {
  if (row === undefined) return html`<li class="drawing" aria-hidden="true"><span class="frame empty"></span></li>`
  return html`<li class=${`drawing${isBetter(row) ? " won" : ""}`} aria-posinset=${place + 1} aria-setsize="-1"><a href=${toRollout(run, row)} data-place=${place} onClick=${open}>
    <${Picture} src=${pictureOf(run, row)} reason=${row.reason} hurried=${hurried} alt=${`No. ${row.index + 1}`} />
    <span class="prompt">${row.prompt}</span>
    <span class="foot"><span>step ${integer(row.step)}</span><span class="mark" title=${record(row)}>${shortRecord(row)}</span></span>
  </a></li>`
}

/** Places of drawings that are still to be read. */
const beyond = 60

/** Narrowest card, the gap between cards and the height of a card's words, CSS pixels; style.css says the same. */
const narrowest = 146
const gap = 16
const words = 70

interface Window {
  readonly columns: number
  readonly rowHeight: number
  /** Rows of cards. */
  readonly first: number
  readonly last: number
}

const windowOf = (list: HTMLElement): Window => {
  const { top, width } = list.getBoundingClientRect()
  const columns = Math.max(2, Math.floor((width + gap) / (narrowest + gap)))
  const rowHeight = Math.round((width - gap * (columns - 1)) / columns) + words + gap
  const first = Math.max(0, Math.floor(-top / rowHeight) - 1)
  return { columns, rowHeight, first, last: first + Math.ceil(innerHeight / rowHeight) + 2 }
}

const List = ({ kept: { feed, opened, run, scroll }, open }: { readonly kept: Kept; readonly open: (place: number) => void }) => {
  const list = useRef<HTMLUListElement>(null)
  const [shown, setShown] = useState<Window>()
  const [hurried, setHurried] = useState(false)

  useLayoutEffect(() => {
    const element = list.current!
    let frame = 0
    let timer = 0
    let before = scrollY
    const look = () => {
      frame = 0
      const next = windowOf(element)
      setShown((old) => old !== undefined && Object.entries(next).every(([name, value]) => old[name as keyof Window] === value) ? old : next)
    }
    const scrolled = () => {
      // Faster than anybody can look.
      if (Math.abs(scrollY - before) > innerHeight / 2) setHurried(true)
      before = scrollY
      clearTimeout(timer)
      timer = window.setTimeout(() => setHurried(false), 120)
      frame ||= requestAnimationFrame(look)
    }
    const sizes = new ResizeObserver(scrolled)
    sizes.observe(element)
    addEventListener("scroll", scrolled, { passive: true })
    look()
    return () => {
      removeEventListener("scroll", scrolled)
      sizes.disconnect()
      cancelAnimationFrame(frame)
      clearTimeout(timer)
    }
  }, [feed])
  useLayoutEffect(() => {
    if (shown !== undefined) scrollTo(0, scroll)
  }, [feed, shown === undefined])
  useEffect(() => {
    if (opened !== undefined) list.current?.querySelector<HTMLElement>(`[data-place="${opened}"]`)?.focus({ preventScroll: true })
  }, [feed, shown === undefined])

  const { columns, first, last, rowHeight } = shown ?? { columns: 1, first: 0, last: 0, rowHeight: 0 }
  const [from, to] = [first * columns, (last + 1) * columns]
  useEffect(() => {
    if (shown !== undefined) feed.want(from, to)
  }, [feed, from, to])
  const count = feed.count() + (feed.ended() ? 0 : beyond)
  const rows = Math.ceil(count / columns)
  return html`<ul class="drawings" ref=${list} aria-label="Drawings, newest first" style=${`height:${Math.max(0, rows * rowHeight)}px;--columns:${columns};--row:${rowHeight - gap}px;--before:${Math.min(first, Math.max(0, rows - 1)) * rowHeight}px`}>
    ${Array.from({ length: Math.max(0, Math.min(to, count) - from) }, (_, i) => from + i).map((place) =>
      html`<${Card} key=${place} place=${place} row=${feed.row(place)} run=${run} hurried=${hurried} open=${() => open(place)} />`)}
  </ul>`
}

export const Rollouts = ({ overview, query, run }: { readonly run: string; readonly query: URLSearchParams; readonly overview: Overview | undefined }) => {
  const filter = filterOf(query)
  const asked = askedOf(filter)
  const [round, again] = useReducer<number, void>(() => ++rounds, rounds)
  const [, changed] = useReducer<number, void>((n) => n + 1, 0)
  const key = JSON.stringify([run, asked, round])
  const list = useMemo(() => {
    if (kept?.key === key) return kept
    kept?.feed.close()
    const made: Kept = {
      key,
      run,
      hash: toTab(run, "rollouts", Object.entries(filter)),
      feed: makeFeed(run, asked, () => made.changed()),
      scroll: 0,
      opened: undefined,
      changed: () => {}
    }
    return kept = made
  }, [key])
  useLayoutEffect(() => {
    list.changed = () => changed()
    const scrolled = () => void (list.scroll = scrollY)
    addEventListener("scroll", scrolled, { passive: true })
    return () => {
      list.changed = () => {}
      removeEventListener("scroll", scrolled)
    }
  }, [list])
  const { feed } = list
  const unfiltered = Object.keys(asked).length === 0
  const newest = useRef<number | undefined>(undefined)
  newest.current = feed.row(0)?.step ?? newest.current
  const newer = unfiltered && newest.current !== undefined && overview !== undefined && (overview.lastStep ?? 0) > newest.current
  const said = feed.trouble() ?? (
    feed.count() === 0 ? feed.ended() ? "No drawing fits." : "Reading …"
      : feed.ended() ? `${counted(feed.count(), "drawing")}.`
      : unfiltered && overview !== undefined ? `${counted(overview.drawings, "drawing")}, newest first.` : "Newest first; more follow below."
  )
  return html`<section class="first" aria-labelledby="rollouts-title">
    <h2 id="rollouts-title" class="hidden">Rollouts</h2>
    <${Filters} filter=${filter} run=${run} />
    <p class="listed"><span role="status">${said}</span>${newer && html`<button type="button" class="chip" onClick=${() => {
      scrollTo(0, 0)
      again()
    }}>Show newer</button>`}</p>
    <${List} key=${key} kept=${list} open=${(place: number) => void (list.opened = place)} />
  </section>`
}
