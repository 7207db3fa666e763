/** The part of the page that compares the policies: right by temperature, by kind, and beside the best of several. */
import { type Learning, type PolicyMeasures, type RightChange, type WinRate } from "../evaluation/measures.ts"
import { kindNames, leastPrompts, told } from "../evaluation/sentence.ts"
import { type Html, html } from "./html.ts"
import { counted, integer, interval, number, percent } from "./words.ts"

/** A difference of shares, in points: `+12 [8, 16]`. */
const points = ({ lower, upper, value }: RightChange["difference"]): string => {
  const whole = (x: number) => `${Math.round(100 * x)}`.replace("-", "−")
  return `${value > 0 ? "+" : ""}${whole(value)} [${whole(lower)}, ${whole(upper)}]`
}
const difference = (learning: Learning, of: RightChange["difference"]): string =>
  learning.measure === "right"
    ? points(of)
    : `${of.value > 0 ? "+" : ""}${number(of.value)} [${number(of.lower)}, ${number(of.upper)}]`

const at = (curve: PolicyMeasures["curve"], wanted: number) => curve.find(({ temperature }) => temperature === wanted)!

/** The curve's value, in the unit of the measure. */
const valueAt = ({ measure }: Learning, point: PolicyMeasures["curve"][number]): number => measure === "right" ? point.right!.value : point.score
const shown = ({ measure }: Learning, value: number): string => measure === "right" ? percent(value) : number(value)
export const measured = (learning: Learning, of: "before" | "after", temperature = learning[of].bestTemperature): string =>
  shown(learning, valueAt(learning, at(learning[of].curve, temperature)))

const what = ({ measure, scorer }: Learning): string => measure === "right" ? "drawings right" : `mean score (${scorer})`

const [width, height, left, bottom, top] = [460, 240, 48, 34, 14]

/** Both policies' curves, drawn as they stand: no script, no interval that is not measured. */
const chart = (learning: Learning): Html => {
  const curves = [learning.before, learning.after]
  const values = curves.flatMap(({ curve }) => curve.map((point) => valueAt(learning, point)))
  const last = Math.max(...learning.before.curve.map(({ temperature }) => temperature))
  const [low, high] = learning.measure === "right" ? [0, 1] : [Math.min(...values), Math.max(...values)]
  const x = (temperature: number) => (left + 8 + (width - left - 24) * temperature / last).toFixed(1)
  const y = (value: number) => (height - bottom - (height - bottom - top) * (high === low ? 0.5 : (value - low) / (high - low))).toFixed(1)
  const ticks = Array.from({ length: 5 }, (_, i) => low + (high - low) * i / 4)
  const line = ({ bestTemperature, curve }: PolicyMeasures, n: number) =>
    html`<g class="s${n}"><polyline points="${curve.map((point) => `${x(point.temperature)},${y(valueAt(learning, point))}`).join(" ")}"/>${
      curve.flatMap(({ right, temperature }) => learning.measure === "right" && right !== null
        ? [html`<line x1="${x(temperature)}" x2="${x(temperature)}" y1="${y(right.lower)}" y2="${y(right.upper)}"/>`]
        : [])
    }${curve.map((point) => html`<circle cx="${x(point.temperature)}" cy="${y(valueAt(learning, point))}" r="3"/>`)}<circle class="best" cx="${x(bestTemperature)}" cy="${
      y(valueAt(learning, at(curve, bestTemperature)))
    }" r="7"/></g>`
  const ends = (name: string, of: "before" | "after") => `${name} best ${measured(learning, of)} at ${learning[of].bestTemperature}`
  return html`<svg class="temperatures" viewBox="0 0 ${width} ${height}" role="img" aria-label="${what(learning)} by temperature: ${ends("before", "before")}; ${
    ends("after", "after")
  }">${ticks.map((tick) =>
    html`<line class="rule" x1="${left}" x2="${width - 8}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${left - 8}" y="${y(tick)}" dy="0.32em" text-anchor="end">${
      shown(learning, tick)
    }</text>`
  )}${learning.before.curve.map(({ temperature }) =>
    html`<text x="${x(temperature)}" y="${height - bottom + 18}" text-anchor="middle">${number(temperature)}</text>`
  )}${curves.map((of, i) => line(of, i + 1))}</svg>`
}

const table = (heads: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<Html | string>>): Html =>
  html`<div class="scroll"><table><thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>${rows.map(([name, ...cells]) => html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody></table></div>`

const byTemperature = (learning: Learning): Html => {
  const { after, before } = learning
  const cell = (of: "before" | "after", temperature: number) => {
    const written = measured(learning, of, temperature)
    return learning[of].bestTemperature === temperature ? html`<b class="best">${written}<span class="hidden"> (best)</span></b>` : written
  }
  return html`<h3>By temperature</h3>
<p class="note">One drawing for each of ${counted(learning.heldOut, "held-out prompt")}. The ring, and bold, mark each policy’s best temperature: the one at which it did best on ${
    counted(learning.chosenOn.prompts, "training prompt")
  }, ${counted(learning.chosenOn.drawings, "drawing")} each. What a temperature gives is not learning.</p>
<div class="beside even"><figure><p class="legend"><span><i class="key k1"></i>before</span><span><i class="key k2"></i>after</span><span class="at">${what(learning)}</span></p>${chart(learning)}</figure>
${table(
    ["Temperature", "Before", "After", "Valid before", "Valid after"],
    before.curve.map(({ temperature, validity }) => [
      number(temperature), cell("before", temperature), cell("after", temperature), percent(validity), percent(at(after.curve, temperature).validity)
    ])
  )}</div>`
}

const saying = (change: RightChange): string =>
  change.before.n < leastPrompts ? "too few to tell" : { better: "learned", worse: "worse", neither: "no gain shown" }[told(change.difference)]

const byKind = (learning: Learning): Html => {
  if (learning.right === null) return html``
  const row = (name: string, change: RightChange) =>
    [name, integer(change.before.n), `${percent(change.before.value)} [${interval(change.before)}]`, `${percent(change.after.value)} [${interval(change.after)}]`, points(change.difference), saying(change)]
  return html`<h3>By kind of prompt</h3>
<p class="note">Share right, each policy at its best temperature: right is a scene check of 0.9 or more; a drawing that does not render is wrong. The difference is in points, with a paired bootstrap over the prompts.</p>
${table(["Asked for", "Prompts", "Before", "After", "Difference", ""], [
    row("all", learning.right),
    ...learning.kinds.map(({ kind, ...change }) => row(kindNames[kind], change))
  ])}`
}

const bestOf = (learning: Learning): Html => {
  const { after } = learning
  const one = at(after.curve, after.bestTemperature)
  if ("notAsked" in learning.bestOf) return html`<h3>Best of several drawings</h3>
<p class="note">Not measured: ${learning.bestOf.notAsked}.</p>`
  const { judge, of, temperature } = learning.bestOf
  return html`<h3>Best of several drawings</h3>
<p class="note">The policy it started from draws K times at temperature ${number(temperature)}, the best temperature for that, and the judge ${judge} picks one. The difference is one drawing of the trained policy minus this.</p>
${table(["", what(learning), "Tokens a prompt", "Difference"], [
    ["trained, one drawing", measured(learning, "after"), integer(one.tokens), ""],
    ...of.map(({ k, right, score, tokens, trainedMinusThis }) => [
      k === 1 ? "before, one drawing" : `before, best of ${k}`,
      shown(learning, learning.measure === "right" ? right!.value : score),
      integer(tokens),
      difference(learning, trainedMinusThis)
    ])
  ])}`
}

const winRates = (rates: ReadonlyArray<WinRate>): Html =>
  html`<h3>Win rate</h3>
<p class="note">How often the trained policy’s drawing beats the other, each at its best temperature. Scores closer than the margin tie, and a tie counts one half; decided are the prompts that did not tie.</p>
${table(["Scorer", "Win rate", "95\u202f% interval", "Margin", "Decided", "Won of those"], rates.map((rate) => [
    rate.scorer,
    percent(rate.value),
    interval(rate),
    number(rate.margin),
    `${integer(rate.decided)} of ${integer(rate.n)}`,
    rate.decided === 0 ? "–" : `${percent(rate.decidedRate.value)} [${interval(rate.decidedRate)}]`
  ]))}`

export const learningSection = (learning: Learning, rates: ReadonlyArray<WinRate>): Html =>
  html`<section class="learning" aria-labelledby="learning-title">
<h2 id="learning-title">What was learned</h2>
${byTemperature(learning)}
${byKind(learning)}
${bestOf(learning)}
${rates.length > 0 && winRates(rates)}
</section>`

/** The page's first sentence. */
export const result = (learning: Learning): Html => {
  const { after, before, heldOut, measure, right, score, scorer } = learning
  const how = measure === "right" ? html`Drawn right, of` : html`Mean ${scorer} score on`
  const change = measure === "right" ? right!.difference : score.difference
  return html`<p class="result">${how} ${counted(heldOut, "held-out prompt")}: <strong>${measured(learning, "before")}</strong> before, <strong>${
    measured(learning, "after")
  }</strong> after <span class="interval">(${difference(learning, change)}${measure === "right" && " points"})</span>.</p>
<p class="note">${learning.sentence}</p>
<p class="note">Before is the policy that training started from. Each is drawn at its best temperature: before at ${number(before.bestTemperature)}, after at ${
    number(after.bestTemperature)
  }; both at 1: ${measured(learning, "before", 1)} before, ${measured(learning, "after", 1)} after. 95${"\u202f"}% intervals.</p>`
}
