/** Curves of a run's metrics, in the look of the report's (src/report/client.ts). */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks"
import uPlot from "uplot"
import type { Curves as Data } from "./ask.ts"
import { integer, number, percent } from "../../report/words.ts"
import { html } from "./html.ts"
import { useTheme } from "./theme.ts"

type Values = ReadonlyArray<number | null>

/** Fewer points than this are shown unchanged. */
const fewPoints = 12
const height = 170

/** A Gaussian mean over neighbours: unlike a running mean it does not lag. */
const smooth = (values: Values): Values => {
  const width = Math.max(1.5, values.length / 40)
  const reach = Math.ceil(3 * width)
  const weights = Array.from({ length: reach + 1 }, (_, distance) => Math.exp(-((distance / width) ** 2) / 2))
  return values.map((value, at) => {
    if (value === null) return null
    let total = 0
    let whole = 0
    for (let i = Math.max(0, at - reach); i <= Math.min(values.length - 1, at + reach); i++) {
      const neighbour = values[i]
      if (neighbour === null || neighbour === undefined) continue
      const weight = weights[Math.abs(i - at)]!
      total += weight * neighbour
      whole += weight
    }
    return total / whole
  })
}

const numbers = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 })
const written = (value: number | null | undefined, share: boolean): string =>
  value === null || value === undefined ? "–" : share ? `${numbers.format(100 * value)}\u202f%` : number(value)

/** A canvas cannot read `var(--c1)`: the colour as the browser resolves it. */
const colour = (element: HTMLElement, name: string): string => {
  element.style.color = `var(${name})`
  const resolved = getComputedStyle(element).color
  element.style.color = ""
  return resolved
}
const faded = (rgb: string): string => rgb.replace(/^rgb\((.*)\)$/, "rgba($1, 0.33)")

interface PanelProps {
  readonly panel: Data["panels"][number]
  readonly steps: Data["steps"]
  readonly every: number
}

const Panel = ({ every, panel: { note, series, share, title }, steps }: PanelProps) => {
  const theme = useTheme()
  const plot = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot | undefined>(undefined)
  const [at, setAt] = useState<number | null>(null)
  const smoothing = steps.length >= fewPoints
  const values = useMemo(() => series.map(({ values }) => values), [series])
  const smoothed = useMemo(() => (smoothing ? values.map(smooth) : values), [values, smoothing])
  const data = [steps, ...(smoothing ? values : []), ...smoothed] as unknown as uPlot.AlignedData
  const ends = useRef(steps)
  ends.current = steps

  useLayoutEffect(() => {
    const element = plot.current!
    const ink = colour(element, "--soft")
    const axis = { stroke: ink, font: "11px system-ui, sans-serif", grid: { stroke: colour(element, "--line"), width: 1 }, ticks: { show: false }, gap: 6 }
    const strokes = series.map((_, i) => colour(element, `--c${i + 1}`))
    const faint = smoothing ? strokes.map((stroke) => ({ stroke: faded(stroke), width: 1, pxAlign: 0, points: { show: false } })) : []
    const made = new uPlot({
      width: element.clientWidth,
      height,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, sync: { key: "step" }, points: { size: 6 } },
      scales: {
        x: {
          time: false,
          range: () => {
            const [first = 0, last = first] = [ends.current[0], ends.current.at(-1)]
            return first === last ? [first - 1, first + 1] : [first, last]
          }
        },
        y: share ? { range: [-0.02, 1.02] } : {}
      },
      axes: [
        { ...axis, size: 26, space: 45, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5] },
        { ...axis, size: 48, space: 34, values: (_, ticks) => ticks.map((tick) => share ? percent(Math.round(100 * tick) / 100) : number(tick)) }
      ],
      series: [{}, ...faint, ...strokes.map((stroke) => ({ stroke, width: 2, pxAlign: 0, spanGaps: true, points: { show: !smoothing, size: 5 } }))],
      hooks: { setCursor: [({ cursor }) => setAt((cursor.left ?? -1) < 0 ? null : cursor.idx ?? null)] }
    }, data, element)
    chart.current = made
    const sizes = new ResizeObserver(() => {
      if (element.clientWidth !== made.width) made.setSize({ height, width: element.clientWidth })
    })
    sizes.observe(element)
    return () => {
      sizes.disconnect()
      made.destroy()
      chart.current = undefined
    }
  }, [theme, smoothing, share, series.map(({ label }) => label).join("\n")])
  const fresh = useRef(true) // the chart is made with its first data
  useEffect(() => {
    if (!fresh.current) chart.current?.setData(data)
    fresh.current = false
  }, [values, steps])

  const shown = at === null || at >= steps.length ? undefined : at
  const said = values.map((known, i) => shown === undefined ? smoothed[i]!.findLast((value) => value !== null) : known[shown])
  const fromTo = series.map(({ label, values }) => {
    const known = values.filter((value) => value !== null)
    return `${label} from ${written(known[0], share)} to ${written(known.at(-1), share)}`
  })
  return html`<figure class="panel">
    <figcaption><h3>${title}</h3><p>${note}</p></figcaption>
    <p class="legend">${series.map(({ label }, i) => html`<span key=${label}><i class=${`key k${i + 1}`}></i>${label} <b>${written(said[i], share)}</b></span>`)}<span class="at">${
      shown === undefined ? "" : `step ${integer(steps[shown]!)}${every > 1 ? " and on" : ""}`
    }</span></p>
    <div class="plot" ref=${plot} role="img" aria-label=${`${title} by training step: ${fromTo.join("; ")}`}></div>
  </figure>`
}

/** Panels that are made in one frame, so that the first can be seen while the others are made. */
const aFrame = 2

const Panels = ({ curves: { every, panels, steps } }: { readonly curves: Data }) => {
  const [made, setMade] = useState(aFrame)
  useEffect(() => {
    if (made >= panels.length) return
    const frame = requestAnimationFrame(() => setMade(made + aFrame))
    return () => cancelAnimationFrame(frame)
  }, [made, panels.length])
  return html`<div class="panels">${panels.map((panel, n) =>
    n < made ? html`<${Panel} key=${panel.title} panel=${panel} steps=${steps} every=${every} />` : html`<div key=${panel.title} class="panel waiting" aria-hidden="true"></div>`)}</div>`
}

export const Curves = ({ curves }: { readonly curves: Data | undefined }) => {
  const many = curves !== undefined && curves.steps.length >= fewPoints
  return html`<section aria-labelledby="curves-title">
    <h2 id="curves-title">Curves</h2>
    <p class="note">By training step. ${many && `Strong lines are smoothed, faint lines are the ${curves.every === 1 ? "values themselves" : `means of ${integer(curves.every)} steps each`}. `}The numbers beside the names are the last ones of the lines, or the values under the pointer.</p>
    ${curves === undefined
      ? html`<div class="panels" aria-hidden="true">${Array.from({ length: 9 }, (_, i) => html`<div key=${i} class="panel waiting"></div>`)}</div>`
      : curves.panels.length === 0
      ? html`<p class="note">No step is done yet.</p>`
      : html`<${Panels} curves=${curves} />`}
  </section>`
}
