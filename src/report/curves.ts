/** Which curves the page shows, and their numbers in the form that the page's script reads. */
import { type Html, html } from "./html.ts"
import { integer, number, percent } from "./words.ts"
import type { MetricsRow } from "./data.ts"

type Read = (row: MetricsRow) => number | undefined

interface Panel {
  readonly title: string
  /** One line below the title. */
  readonly note: string
  /** Shares are drawn on a fixed scale from 0 to 1 and written as per cent. */
  readonly unit?: "share"
  readonly series: ReadonlyArray<readonly [label: string, read: Read]>
}

const key = (name: string): Read => (row) => row[name]

const panels: ReadonlyArray<Panel> = [
  { title: "Reward margin", note: "chosen minus rejected", series: [["margin", key("rewards/margins")]] },
  {
    title: "Reward accuracy",
    note: "pairs whose chosen drawing has the higher reward",
    unit: "share",
    series: [["accuracy", key("rewards/accuracies")]]
  },
  { title: "Loss", note: "mean over what the step trained", series: [["loss", key("loss")]] },
  {
    title: "Rewards",
    note: "β × log-probability ratio to the reference",
    series: [["chosen", key("rewards/chosen")], ["rejected", key("rewards/rejected")]]
  },
  {
    title: "Log-probabilities",
    note: "nats a drawing",
    series: [["chosen", key("logps/chosen")], ["rejected", key("logps/rejected")], ["better", key("logps/better")], ["worse", key("logps/worse")]]
  },
  { title: "Advantages", note: "how far from their prompt’s mean reward drawings are", series: [["size", key("advantages/abs")]] },
  {
    title: "Clipped",
    note: "where the policy had moved too far within the step",
    unit: "share",
    series: [["pushed down", key("clip_ratio/low_mean")], ["pulled up", key("clip_ratio/high_mean")], ["capped", key("cispo_clip_ratio")]]
  },
  {
    title: "Importance ratio",
    note: "how much likelier drawings are now than when they were drawn",
    series: [["smallest", key("sampling/importance_sampling_ratio/min")], ["mean", key("sampling/importance_sampling_ratio/mean")], ["largest", key("sampling/importance_sampling_ratio/max")]]
  },
  { title: "KL to the reference", note: "nats: a drawing’s log-ratio, or a token’s k3 estimate", series: [["KL", key("objective/kl")], ["k3", key("kl")]] },
  {
    title: "Valid and distinct",
    note: "share of the step’s drawings",
    unit: "share",
    series: [["valid", key("svg/valid")], ["distinct", key("svg/unique")]]
  },
  { title: "Completion length", note: "tokens a drawing", series: [["length", key("svg/length")]] },
  { title: "Entropy", note: "nats a drawing", series: [["entropy", key("objective/entropy")]] },
  {
    title: "Judge",
    note: "confidence, and ties among the pairs asked",
    unit: "share",
    series: [["confidence", key("judge/confidence")], ["ties", key("judge/tie_rate")]]
  },
  {
    title: "Judge beside others",
    note: "Kendall’s τ of its verdicts and of scorers that train nothing",
    series: [["scene check", key("judge/agreement/scene_check")], ["held-out CLIP", key("judge/agreement/held-out_CLIP")]]
  },
  {
    title: "Judge against itself",
    note: "same answer in both orders, and contradictions within a prompt",
    unit: "share",
    series: [["both orders agree", key("judge/swap_consistency")], ["prompts with a cycle", key("judge/cycle_rate")]]
  },
  {
    title: "Lessons",
    note: "a step; by the gate: pairs settled by validity alone",
    series: [["preferences", key("pairs/preferences")], ["advantages", key("advantages/made")], ["by the gate", key("pairs/gate")]]
  },
  { title: "Gradient norm", note: "before clipping", series: [["norm", key("grad_norm")]] }
]

/** Most points of a curve: a panel is a few hundred pixels wide, so more would show nothing more. */
export const mostPoints = 400
/** Fewer points than this are shown unchanged. */
const fewPoints = 12

type Values = ReadonlyArray<number | null>

interface Curve {
  readonly label: string
  /** One value a point; null where the metric is missing. */
  readonly values: Values
}

export interface Curves {
  readonly shown: ReadonlyArray<Omit<Panel, "series"> & { readonly series: ReadonlyArray<Curve> }>
  readonly data: {
    /** How many training steps one point is the mean of. */
    readonly every: number
    readonly smoothing: boolean
    readonly steps: ReadonlyArray<number>
    readonly panels: ReadonlyArray<{ readonly share: boolean; readonly series: ReadonlyArray<Values> }>
  }
}

const mean = (values: ReadonlyArray<number | undefined>): number | null => {
  const known = values.filter((value) => value !== undefined && Number.isFinite(value)) as ReadonlyArray<number>
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0) / known.length
}

const rounded = (value: number | null): number | null => value === null ? null : Number(value.toPrecision(4))

/** `items` in at most `most` groups of neighbours, all but the last of one size. */
export const grouped = <A>(items: ReadonlyArray<A>, most: number): ReadonlyArray<ReadonlyArray<A>> => {
  const size = Math.max(1, Math.ceil(items.length / most))
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size))
}

/** Leaves out a curve without a single value, and a panel without a curve. */
export const curvesOf = (metrics: ReadonlyArray<MetricsRow>): Curves => {
  const groups = grouped(metrics.map((row, i) => ({ step: i, ...row }) as MetricsRow), mostPoints)
  const shown = panels.flatMap(({ series, ...panel }) => {
    const known = series
      .map(([label, read]) => ({ label, values: groups.map((rows) => rounded(mean(rows.map(read)))) }))
      .filter(({ values }) => values.some((value) => value !== null))
    return known.length === 0 ? [] : [{ ...panel, series: known }]
  })
  return {
    shown,
    data: {
      every: groups[0]?.length ?? 1,
      smoothing: groups.length >= fewPoints,
      steps: groups.map((rows) => rows[0]!["step"]!),
      panels: shown.map(({ series, unit }) => ({ share: unit === "share", series: series.map(({ values }) => values) }))
    }
  }
}

const figure = ({ note, series, title, unit }: Curves["shown"][number]): Html => {
  const written = unit === "share" ? percent : number
  const ends = series.map(({ label, values }) => {
    const known = values.filter((value) => value !== null)
    return `${label} from ${written(known[0]!)} to ${written(known.at(-1)!)}`
  })
  return html`<figure class="panel">
<figcaption><h3>${title}</h3><p>${note}</p></figcaption>
<p class="legend">${
    series.map(({ label }, i) => html`<span><i class="key k${i + 1}"></i>${label} <b></b></span>`)
  }<span class="at"></span></p>
<div class="plot" role="img" aria-label="${title} by training step: ${ends.join("; ")}"></div>
</figure>`
}

export const curves = ({ data, shown }: Curves): Html =>
  shown.length === 0 ? html`` : html`<section aria-labelledby="curves-title">
<h2 id="curves-title">Curves</h2>
<p class="note">By training step. ${
    data.smoothing && `Strong lines are smoothed, faint lines are the ${
      data.every === 1 ? "values themselves" : `means of ${integer(data.every)} steps each`
    }. `
  }The numbers beside the names are the last ones of the lines, or the values under the pointer.</p>
<noscript><p class="note">The curves are drawn by a script on this page.</p></noscript>
<div class="panels">
${shown.map(figure)}
</div>
</section>`
