/**
 * A list that is read page by page, each page from where the one before ended. Addresses of all pages met are kept, rows only
 * of those near the window.
 */
import { ask, type RolloutRow, told } from "./ask.ts"

/** Rows of a page. */
const pageRows = 200
/** Pages whose rows are kept. */
const mostKept = 12
/** Rows that are asked for before they can be seen. */
const ahead = 400

interface Page {
  /** `next` of the page before; empty for the first. */
  readonly after: string
  rows: ReadonlyArray<RolloutRow> | undefined
}

export interface Feed {
  /** Rows known so far. */
  readonly count: () => number
  /** Whether these are all. */
  readonly ended: () => boolean
  readonly trouble: () => string | undefined
  /** Undefined while it is not at hand. */
  readonly row: (i: number) => RolloutRow | undefined
  /** What the window shows, and soon will. */
  readonly want: (first: number, last: number) => void
  readonly close: () => void
}

export const makeFeed = (run: string, query: Readonly<Record<string, string>>, changed: () => void): Feed => {
  const pages: Array<Page> = [{ after: "", rows: undefined }]
  const closed = new AbortController()
  let count = 0
  let ended = false
  let trouble: string | undefined
  let busy = false
  let seen = { first: 0, last: 0 }

  const pageAt = (i: number) => Math.floor(i / pageRows)

  /** The page to be asked for next: in the window, then beyond it. */
  const missing = (): Page | undefined => {
    const [first, last] = [pageAt(Math.max(0, seen.first - ahead)), Math.min(pages.length - 1, pageAt(seen.last + ahead))]
    const near = [pageAt(seen.first), pageAt(seen.last), ...Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i)]
    return near.map((n) => pages[n]).find((page) => page !== undefined && page.rows === undefined)
  }
  const forget = () => {
    const middle = pageAt((seen.first + seen.last) / 2)
    const distance = (page: Page) => Math.abs(pages.indexOf(page) - middle)
    const kept = pages.filter(({ rows }) => rows !== undefined)
    for (const page of kept.toSorted((a, b) => distance(a) - distance(b)).slice(mostKept)) page.rows = undefined
  }
  const load = async () => {
    if (busy) return
    busy = true
    for (let page = missing(); page !== undefined && !closed.signal.aborted; page = missing()) {
      try {
        const { next, rows } = await ask.rollouts(run, { ...query, limit: String(pageRows), ...(page.after !== "" && { after: page.after }) }, closed.signal)
        page.rows = rows
        trouble = undefined
        if (page === pages.at(-1)) {
          count = (pages.length - 1) * pageRows + rows.length
          ended = next === null
          if (next !== null) pages.push({ after: next, rows: undefined })
        }
        forget()
      } catch (error) {
        if (closed.signal.aborted) break
        trouble = told(error)
        window.setTimeout(() => void load(), 2000)
        changed()
        break
      }
      changed()
    }
    busy = false
  }

  return {
    count: () => count,
    ended: () => ended,
    trouble: () => trouble,
    row: (i) => pages[pageAt(i)]?.rows?.[i % pageRows],
    want: (first, last) => {
      seen = { first, last }
      void load()
    },
    close: () => closed.abort()
  }
}
