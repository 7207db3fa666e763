/** The page on which a person judges: one file, nothing loaded from elsewhere, in the report's style. */
import { html, trusted } from "../../src/report/html.ts"
import { pageOf } from "../../src/report/page.ts"
import { style as reportStyle } from "../../src/report/style.css.ts"

export const contentPolicy =
  "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

const style = `
body { min-height: 100vh; display: flex; flex-direction: column; }
main, footer { width: 100%; max-width: 1000px; }
main { flex: 1; padding-top: 28px; padding-bottom: 0; }
footer { padding-top: 20px; padding-bottom: 20px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 4px 24px; color: var(--soft); font-size: 15px; }
header p b { color: var(--ink); font-weight: 600; }
section { margin-top: 24px; }
h2 { font-size: clamp(20px, 3vw, 28px); text-wrap: balance; }
.pair { margin-top: 20px; gap: 20px; max-width: calc((100vh - 340px) * 2 + 20px); min-width: min(100%, 420px); margin-left: auto; margin-right: auto; }
.choice { display: block; width: 100%; padding: 0; border: 0; background: none; color: inherit; font: inherit; cursor: pointer; border-radius: 12px; }
.choice .frame { display: block; border-radius: 12px; }
.choice:hover .frame, .choice:focus-visible .frame { border-color: var(--c1); }
.choice .name { display: flex; align-items: center; justify-content: center; gap: 8px; margin-top: 10px; }
kbd { display: inline-block; min-width: 24px; padding: 1px 7px; border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 6px; background: var(--card); color: var(--ink); font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; text-align: center; }
.others { display: flex; flex-wrap: wrap; justify-content: center; gap: 12px; margin-top: 18px; }
.others button { display: flex; align-items: center; gap: 8px; padding: 7px 16px; border: 1px solid var(--line); border-radius: 99px; background: var(--card); color: var(--ink); font: inherit; font-size: 15px; cursor: pointer; }
.others button:hover { border-color: var(--soft); }
button[aria-disabled=true] { opacity: 0.45; cursor: default; }
.idle { margin-top: 18vh; text-align: center; color: var(--soft); font-size: 18px; }
@media (max-width: 560px) { main { padding-top: 16px; } .pair { gap: 10px; } .choice .name { flex-direction: column; gap: 4px; } }
`

/** Plain JavaScript, used unchanged. A key counts only once both pictures of the pair can be seen. */
const client = String.raw`"use strict"
{
  const at = (id) => document.getElementById(id)
  const [left, right] = [at("left"), at("right")]
  const choices = { left: at("choose-left"), right: at("choose-right"), tie: at("choose-tie") }
  let shown, wanted, state, ended = false
  const enable = () => {
    // Not 'disabled', which would lose the keyboard focus.
    for (const button of Object.values(choices)) button.ariaDisabled = String(shown === undefined || ended)
    at("undo").ariaDisabled = String(!(state && state.undoable) || ended)
  }
  const idle = (text) => {
    at("question").hidden = text !== ""
    at("idle").hidden = text === ""
    at("idle").textContent = text
  }
  const show = async (pair) => {
    wanted = pair.id
    shown = undefined
    enable()
    left.src = "pair/" + pair.id + "/left.png"
    right.src = "pair/" + pair.id + "/right.png"
    try { await Promise.all([left.decode(), right.decode()]) } catch { return } // a newer pair took its place
    if (wanted !== pair.id) return
    at("prompt").textContent = "“" + pair.prompt + "”"
    left.alt = "The left drawing of “" + pair.prompt + "”"
    right.alt = "The right drawing of “" + pair.prompt + "”"
    shown = pair.id
    idle("")
    enable()
  }
  const update = () => {
    at("waiting").textContent = state.waiting
    at("answered").textContent = state.answered
    if (state.pair === null) {
      shown = wanted = undefined
      idle("No pair is waiting. The next one will appear here.")
    } else if (state.pair.id !== wanted) show(state.pair)
    enable()
  }
  const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) }).catch(() => ({ ok: false }))
  const choose = async (choice) => {
    if (shown === undefined || ended) return
    const id = shown
    shown = undefined // one choice a pair
    enable()
    const { ok } = await post("choose", { id, choice })
    if (ok || wanted !== id) return
    wanted = undefined // it was not taken: show what waits now
    update()
  }
  const undo = () => { if (state && state.undoable && !ended) post("undo", {}) }
  for (const [choice, button] of Object.entries(choices)) button.addEventListener("click", () => choose(choice))
  at("undo").addEventListener("click", undo)
  const keys = { "1": "left", ArrowLeft: "left", "2": "right", ArrowRight: "right", "3": "tie", " ": "tie" }
  addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key === " " && document.activeElement instanceof HTMLButtonElement) return // that button is meant
    if (event.key === "u" || event.key === "U") undo()
    else if (Object.hasOwn(keys, event.key)) choose(keys[event.key])
    else return
    event.preventDefault()
  })
  const events = new EventSource("state")
  events.onmessage = ({ data }) => {
    ended = false
    state = JSON.parse(data)
    update()
  }
  events.onerror = () => {
    ended = true
    shown = wanted = undefined
    idle("The run has ended or was interrupted. What you answered is kept.")
    enable()
  }
}
`

const body = html`<main>
<header>
<h1>Which drawing is better?</h1>
<p><b id="waiting">0</b> waiting · <b id="answered">0</b> answered</p>
</header>
<section id="question" aria-labelledby="prompt" hidden>
<h2 id="prompt" aria-live="polite"></h2>
<div class="pair">
<button class="choice" id="choose-left" aria-keyshortcuts="1 ArrowLeft" aria-disabled="true"><span class="frame"><img id="left" alt=""></span><span class="name"><kbd>1</kbd> This one is better</span></button>
<button class="choice" id="choose-right" aria-keyshortcuts="2 ArrowRight" aria-disabled="true"><span class="frame"><img id="right" alt=""></span><span class="name"><kbd>2</kbd> This one is better</span></button>
</div>
</section>
<p class="idle" id="idle" role="status">Connecting …</p>
<div class="others">
<button id="choose-tie" aria-keyshortcuts="3 Space" aria-disabled="true"><kbd>3</kbd> Neither</button>
<button id="undo" aria-keyshortcuts="u" aria-disabled="true"><kbd>u</kbd> Take back</button>
</div>
</main>
<footer>Judge by what you see and what was asked for. The last choice can be taken back for three seconds, or until the next one.</footer>
<script>${trusted(client)}</script>`

export const page = (): string =>
  pageOf({
    title: "vequinox: which drawing is better?",
    policy: contentPolicy,
    style: reportStyle + style,
    head: html`<link rel="icon" href="data:,">
`,
    body
  })
