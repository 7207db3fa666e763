/** The greedy drawings, before and after, of held-out prompts, side by side. */
import { type Html, html } from "./html.ts"
import { integer } from "./words.ts"
import type { DrawingView, Example } from "./data.ts"

/** Cards that a reader sees before asking for the rest; without scripts all are shown. */
const firstShown = 24

const names = { after: "better", before: "worse", tie: "tie" } as const

/** A picture below this many pixels is enlarged on the page; its pixels then stay sharp squares. */
const smallSide = 100

const picture = (png: Uint8Array, alt: string): Html => {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  // The IHDR chunk is always the first: width and height stand at bytes 16 and 20.
  const [width, height] = bytes.length < 24 ? [1, 1] : [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  return html`<img src="data:image/png;base64,${bytes.toString("base64")}" alt="${alt}" width="${width}" height="${height}" loading="lazy" decoding="async"${
    width < smallSide && html` class="small"`
  }>`
}

const missing = (outcome: string): Html => {
  const [kind, ...rest] = outcome.split(":")
  const reason = rest.join(":").trim()
  return html`<div class="missing"><span>${kind}</span>${reason !== "" && html`<b>${reason}</b>`}</div>`
}

const side = (example: Example, when: "before" | "after"): Html => {
  const { outcome, png, right, score }: DrawingView = example[when]
  const better = example.verdict === when
  const alt = `“${example.prompt}”, drawn ${when} training`
  return html`<div class="side${better && " won"}">
<div class="frame">${png === undefined ? missing(outcome) : picture(png, alt)}</div>
<p><span>${when}${better && html`<span class="hidden"> (better)</span>`}</span><span class="score" title="score">${right !== undefined && `${right ? "right" : "wrong"} `}${score?.toFixed(2)}</span></p>
</div>`
}

const card = (example: Example): Html =>
  html`<figure class="card" data-verdict="${names[example.verdict]}">
<div class="pair">${side(example, "before")}${side(example, "after")}</div>
<figcaption>${example.prompt}${example.verdict === "tie" && html` <span class="tie">tie</span>`}</figcaption>
</figure>`

const choice = (value: string, label: string, n: number): Html =>
  html`<label><input type="radio" name="filter" value="${value}"${value === "all" && html` checked`}><span>${label} <i>${integer(n)}</i></span></label>`

export const examplesGrid = (examples: ReadonlyArray<Example>): Html => {
  if (examples.length === 0) return html``
  const count = (verdict: Example["verdict"]) => examples.filter((example) => example.verdict === verdict).length
  return html`<section id="examples" aria-labelledby="examples-title">
<h2 id="examples-title">Before and after</h2>
<p class="note">Held-out prompts in their order, greedy drawings: each policy’s most likely tokens, without chance. <span class="mark">Green</span> is the better drawing; right and wrong are the scene check’s.</p>
<fieldset class="filter"><legend>Show prompts on which the trained policy did</legend>
${choice("all", "All", examples.length)}${choice("better", "Better", count("after"))}${
    choice("worse", "Worse", count("before"))
  }${choice("tie", "Tie", count("tie"))}
</fieldset>
<div class="grid" data-first="${firstShown}">
${examples.map(card)}
</div>
<p class="more" role="status"></p>
<button type="button" class="all" hidden>Show all</button>
</section>`
}
