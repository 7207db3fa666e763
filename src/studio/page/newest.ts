/** The newest drawings, one group for each prompt of a step, and what the judge said of them. */
import { useEffect, useState } from "preact/hooks"
import { ask, pictureOf, type RolloutRow } from "./ask.ts"
import { integer } from "../../report/words.ts"
import { html } from "./html.ts"
import { useLive } from "./live.ts"
import { Picture } from "./picture.ts"
import { toRollout, toTab } from "./route.ts"

const mostRows = 60
const mostGroups = 6
/** Drawings of a group that are shown. */
const mostShown = 8

/** `won 3, lost 1` */
export const record = ({ failed, lost, tied, won }: Pick<RolloutRow, "won" | "lost" | "tied" | "failed">): string =>
  Object.entries({ won, lost, tied, failed }).filter(([, n]) => n > 0).map(([verdict, n]) => `${verdict} ${n}`).join(", ")

/** The same in a few letters. */
export const shortRecord = ({ failed, lost, tied, won }: Pick<RolloutRow, "won" | "lost" | "tied" | "failed">): string => {
  const all = won + lost + tied + failed
  return all === 0 ? "not judged" : `won ${won} of ${all}`
}

export const isBetter = ({ lost, won }: Pick<RolloutRow, "won" | "lost">): boolean => won > lost

const groupsOf = (rows: ReadonlyArray<RolloutRow>, cut: boolean): ReadonlyArray<ReadonlyArray<RolloutRow>> => {
  const groups = [...Map.groupBy(rows, ({ promptId, step }) => `${step} ${promptId}`).values()]
  // The last group of a page may go on in the next.
  return (cut && groups.length > 1 ? groups.slice(0, -1) : groups).slice(0, mostGroups)
}

/** What a judge said of a pair of the drawing. */
const Reason = ({ run, row }: { readonly run: string; readonly row: RolloutRow }) => {
  const [said, setSaid] = useState("")
  useEffect(() => {
    const ended = new AbortController()
    ask.rollout(run, row, ended.signal).then(({ verdicts }) => {
      const judged = verdicts.find(({ reason }) => reason !== null)
      setSaid(judged === undefined ? "" : `${judged.by}: ${judged.reason}`)
    }, () => {}) // Without a reason the group says all the rest.
    return () => ended.abort()
  }, [run, row.step, row.promptId, row.index])
  return html`<p class="reason" title=${said}>${said}</p>`
}

/** As few rows as let every picture be seen. */
const columnsOf = (n: number): number => Math.max(4, Math.ceil(n / Math.ceil(n / 5)))

const Group = ({ rows, run }: { readonly rows: ReadonlyArray<RolloutRow>; readonly run: string }) => {
  const { prompt, step } = rows[0]!
  const shown = rows.slice(0, mostShown)
  const best = rows.toSorted((a, b) => b.won - b.lost - (a.won - a.lost))[0]!
  return html`<article class="group" aria-label=${`Step ${step}, ${prompt}`}>
    <h3><span class="prompt" title=${prompt}>${prompt}</span> <span class="soft">step ${integer(step)}</span></h3>
    <ul style=${`--columns:${columnsOf(shown.length)}`}>${shown.map((row) => html`<li key=${row.index} class=${isBetter(row) ? "won" : ""}>
      <a href=${toRollout(run, row)}>
        <${Picture} src=${pictureOf(run, row)} reason=${row.reason} alt=${`No. ${row.index + 1}`} />
        <span class="mark" title=${record(row)}>${shortRecord(row)}</span>
      </a>
    </li>`)}</ul>
    <${Reason} run=${run} row=${best} />
  </article>`
}

export const Newest = ({ run, version }: { readonly run: string; readonly version: string }) => {
  const { value } = useLive(`${run}/newest`, (signal) => ask.rollouts(run, { limit: String(mostRows) }, signal), version)
  if (value?.rows.length === 0) return null
  return html`<section aria-labelledby="newest-title">
    <h2 id="newest-title">Newest drawings</h2>
    <div class="groups">${value === undefined
      ? Array.from({ length: mostGroups }, (_, i) => html`<div key=${i} class="group waiting"></div>`)
      : groupsOf(value.rows, value.next !== null).map((rows) => html`<${Group} key=${`${rows[0]!.step} ${rows[0]!.promptId}`} run=${run} rows=${rows} />`)}</div>
    <p class="note"><a href=${toTab(run, "rollouts")}>All drawings</a></p>
  </section>`
}
