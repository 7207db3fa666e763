/** Draws what a person types, and lets a judge say which drawing is better. */
import { useState } from "preact/hooks"
import { ask, type Drawing, type Judged, type Overview, told } from "./ask.ts"
import { DrawnPicture, lastPolicy, mostSeed, NumberField, PolicyField, valueOf } from "./drawing.ts"
import { counted, dollars, number, percent } from "../../report/words.ts"
import { html } from "./html.ts"
import { replace, toTab } from "./route.ts"

const mostPolicies = 4

const outcomes: Readonly<Record<Judged["outcome"], string>> = {
  A: "The left one is better",
  B: "The right one is better",
  tie: "Neither is better",
  invalid: "Neither can be judged",
  failed: "No usable answer"
}

interface JudgingProps {
  readonly run: string
  readonly judges: ReadonlyArray<string>
  /** Two, the left one first. */
  readonly picked: ReadonlyArray<Drawing>
}

const Judging = ({ judges, picked, run }: JudgingProps) => {
  const [judge, setJudge] = useState(judges[0] ?? "")
  const [busy, setBusy] = useState(false)
  const [said, setSaid] = useState<{ readonly of: ReadonlyArray<Drawing>; readonly judged: Judged }>()
  const [trouble, setTrouble] = useState("")
  const [left, right] = picked
  const answer = async () => {
    if (left === undefined || right === undefined) return
    setBusy(true)
    setTrouble("")
    try {
      const judged = await ask.judge(run, { prompt: left.prompt, left: left.svg, right: right.svg, judge })
      setSaid({ of: picked, judged })
    } catch (error) {
      setTrouble(told(error))
    }
    setBusy(false)
  }
  const judged = said?.of === picked ? said.judged : undefined
  const better = (side: "A" | "B") => (judged?.outcome === side ? "side won" : "side")
  return html`<section aria-labelledby="judge-title">
    <h2 id="judge-title">Judge</h2>
    <p class="note">${picked.length < 2 ? "Pick two of the drawings above." : "The left one is the one picked first."}</p>
    <div class="pair judged">${[left, right].map((drawing, i) => html`<div key=${i} class=${better(i === 0 ? "A" : "B")}>${drawing === undefined ? html`<span class="frame empty"></span><span class="foot"> </span>` : html`<${DrawnPicture} drawing=${drawing} />`}</div>`)}</div>
    <div class="filters">
      <label class="field">Judge<select value=${judge} onChange=${(event: Event) => setJudge(valueOf(event))}>${judges.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
      <button type="button" class="strong" disabled=${busy || picked.length < 2} onClick=${answer}>Which is better?</button>
    </div>
    <div role="status" class="answer">${trouble !== "" ? html`<p class="trouble">${trouble}</p>` : busy ? html`<p class="soft">Asking …</p>` : judged !== undefined && html`
      <p><b>${outcomes[judged.outcome]}</b>${(judged.outcome === "A" || judged.outcome === "B") && `, ${percent(judged.confidence)} sure`}, by ${judged.by}${judged.scores !== null && `; scores ${number(judged.scores.left)} and ${number(judged.scores.right)}`}; ${dollars(judged.costUsd)}.</p>
      ${judged.reason !== null && html`<p class="said">${judged.reason}</p>`}`}</div>
  </section>`
}

export const Playground = ({ overview: { judges, noPlayground, policies }, query, run }: { readonly run: string; readonly query: URLSearchParams; readonly overview: Overview }) => {
  const [prompt, setPrompt] = useState(query.get("prompt") ?? "")
  const [chosen, setChosen] = useState<ReadonlyArray<string>>(() => {
    const asked = query.getAll("policy").filter((policy) => policies.includes(policy))
    return asked.length > 0 ? asked.slice(0, mostPolicies) : [lastPolicy(policies)]
  })
  const [n, setN] = useState(query.get("n") ?? "4")
  const [temperature, setTemperature] = useState(query.get("temperature") ?? "1")
  const [seed, setSeed] = useState(query.get("seed") ?? "1")
  const [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState("")
  const [drawings, setDrawings] = useState<ReadonlyArray<Drawing>>([])
  const [picked, setPicked] = useState<ReadonlyArray<Drawing>>([])
  const draw = async (event: Event) => {
    event.preventDefault()
    if (prompt.trim() === "") return setTrouble("Type what to draw.")
    replace(toTab(run, "playground", [["prompt", prompt], ...chosen.map((policy) => ["policy", policy] as const), ["n", n], ["temperature", temperature], ["seed", seed]]))
    setBusy(true)
    setTrouble("")
    try {
      const drawn = await ask.draw(run, { prompts: [prompt.trim()], policies: [...new Set(chosen)], temperature: Number(temperature), seed: Number(seed), n: Number(n) })
      setDrawings(drawn.drawings)
      setPicked([])
    } catch (error) {
      setTrouble(told(error))
    }
    setBusy(false)
  }
  /** A third takes the place of the first. */
  const pick = (drawing: Drawing) => setPicked((picked) => picked.includes(drawing) ? picked.filter((one) => one !== drawing) : [...picked.slice(-1), drawing])
  if (noPlayground !== null) return html`<p class="idle">${noPlayground}</p>`
  const byPolicy = Map.groupBy(drawings, ({ policy }) => policy)
  return html`<section class="first" aria-labelledby="playground-title">
      <h2 id="playground-title">Playground</h2>
      <form class="draw" onSubmit=${draw}>
        <label class="field wide">Prompt<input type="text" maxlength="2000" value=${prompt} placeholder="a red circle on a blue square" onInput=${(event: Event) => setPrompt(valueOf(event))} /></label>
        <div class="filters">
          ${chosen.map((policy, i) => html`<${PolicyField} key=${i} label=${chosen.length === 1 ? "Policy" : `Policy ${i + 1}`} policies=${policies} value=${policy} set=${(next: string) => setChosen(chosen.with(i, next))} />`)}
          <button type="button" disabled=${chosen.length >= mostPolicies} onClick=${() => setChosen([...chosen, policies.find((policy) => !chosen.includes(policy)) ?? lastPolicy(policies)])}>Add a policy</button>
          <button type="button" disabled=${chosen.length <= 1} onClick=${() => setChosen(chosen.slice(0, -1))}>Remove one</button>
        </div>
        <div class="filters">
          <${NumberField} label="Drawings each" min=${1} max=${4} step=${1} value=${n} set=${setN} />
          <${NumberField} label="Temperature" min=${0} max=${2} step="any" value=${temperature} set=${setTemperature} />
          <${NumberField} label="Seed" min=${0} max=${mostSeed} step=${1} value=${seed} set=${setSeed} />
          <button type="submit" class="strong" disabled=${busy}>Draw</button>
        </div>
      </form>
      <p class="listed" role="status">${trouble !== "" ? html`<span class="trouble">${trouble}</span>` : busy ? "Drawing …" : drawings.length > 0 && `${counted(drawings.length, "drawing")} of “${drawings[0]!.prompt}”.`}</p>
      ${[...byPolicy].map(([policy, of]) => html`<div key=${policy} class="drawn"><h3>${policy}</h3><ul>${of.map((drawing) => html`<li key=${drawing.index}>
        <${DrawnPicture} drawing=${drawing} />
        ${judges.length > 0 && drawing.rendering === "rendered" && html`<button type="button" aria-pressed=${String(picked.includes(drawing))} onClick=${() => pick(drawing)}>${picked.includes(drawing) ? `Picked: ${picked.indexOf(drawing) === 0 ? "left" : "right"}` : "Pick"}<span class="hidden"> no. ${drawing.index + 1} of ${policy} for the judge</span></button>`}
      </li>`)}</ul></div>`)}
    </section>
    ${judges.length > 0 && drawings.length > 0 && html`<${Judging} run=${run} judges=${judges} picked=${picked} />`}`
}
