/** Two policies on the same prompts with the same seed. */
import { useEffect, useRef, useState } from "preact/hooks"
import { ask, type Drawing, type Overview, told } from "./ask.ts"
import { DrawnPicture, lastPolicy, mostSeed, NumberField, PolicyField, valueOf } from "./drawing.ts"
import { counted } from "../../report/words.ts"
import { html } from "./html.ts"
import { replace, toTab } from "./route.ts"

const mostPrompts = 24
/** Prompts of one request: the first pictures come before the last ones are drawn. */
const atOnce = 4
/** Prompts that are filled in. */
const prefilled = 6
/** Characters of prompts that the address may hold. */
const mostAddress = 1500

const promptsOf = (text: string): ReadonlyArray<string> => [...new Set(text.split("\n").map((line) => line.trim()).filter((line) => line !== ""))]

export const Compare = ({ overview: { noPlayground, policies }, query, run }: { readonly run: string; readonly query: URLSearchParams; readonly overview: Overview }) => {
  const [a, setA] = useState("")
  const [b, setB] = useState("")
  const [prompts, setPrompts] = useState("")
  const [temperature, setTemperature] = useState("")
  const [seed, setSeed] = useState("")
  const [state, setState] = useState<"idle" | "busy">("idle")
  const [trouble, setTrouble] = useState("")
  const [drawn, setDrawn] = useState<{ readonly a: string; readonly b: string; readonly prompts: ReadonlyArray<string>; readonly drawings: ReadonlyArray<Drawing> }>()
  /** A person is at the prompts, or was: none are filled in any more. */
  const touched = useRef(false)
  const address = query.toString()
  useEffect(() => {
    setA(query.get("a") ?? "base")
    setB(query.get("b") ?? lastPolicy(policies))
    setTemperature(query.get("temperature") ?? "0")
    setSeed(query.get("seed") ?? "1")
    if (query.has("prompt")) setPrompts(query.getAll("prompt").join("\n"))
  }, [address])
  useEffect(() => {
    if (query.has("prompt")) return
    const ended = new AbortController()
    ask.rollouts(run, { limit: "100" }, ended.signal).then(({ rows }) => {
      const recent = [...new Set(rows.map(({ prompt }) => prompt))].slice(0, prefilled)
      if (!touched.current) setPrompts(recent.join("\n"))
    }, () => {}) // A person can type some.
    return () => ended.abort()
  }, [run])
  const known = promptsOf(prompts)
  const draw = async (event: Event) => {
    event.preventDefault()
    if (known.length === 0) return setTrouble("Give at least one prompt.")
    if (known.length > mostPrompts) return setTrouble(`At most ${mostPrompts} prompts can be drawn at once.`)
    const inAddress = prompts.length <= mostAddress ? known.map((prompt) => ["prompt", prompt] as const) : []
    replace(toTab(run, "compare", [["a", a], ["b", b], ["temperature", temperature], ["seed", seed], ...inAddress]))
    setState("busy")
    setTrouble("")
    let drawings: ReadonlyArray<Drawing> = []
    setDrawn({ a, b, prompts: known, drawings })
    try {
      for (let first = 0; first < known.length; first += atOnce) {
        const asked = { prompts: known.slice(first, first + atOnce), policies: [...new Set([a, b])], temperature: Number(temperature), seed: Number(seed), n: 1 }
        drawings = [...drawings, ...(await ask.draw(run, asked)).drawings]
        setDrawn({ a, b, prompts: known, drawings })
      }
    } catch (error) {
      setTrouble(told(error))
    }
    setState("idle")
  }
  if (noPlayground !== null) return html`<p class="idle">${noPlayground}</p>`
  const found = (policy: string, prompt: string) => drawn?.drawings.find((drawing) => drawing.policy === policy && drawing.prompt === prompt)
  const done = drawn === undefined ? 0 : drawn.prompts.filter((prompt) => found(drawn.a, prompt) !== undefined).length
  return html`<section class="first" aria-labelledby="compare-title">
    <h2 id="compare-title">Compare two policies</h2>
    <p class="note">The same prompts, seed and temperature for both. <code>base</code> is the policy that training began with; temperature 0 draws each policy’s most likely tokens.</p>
    <form class="draw" onSubmit=${draw}>
      <label class="field wide">Prompts, one a line<textarea rows="6" value=${prompts} onFocus=${() => touched.current = true} onInput=${(event: Event) => setPrompts(valueOf(event))}></textarea></label>
      <div class="filters">
        <${PolicyField} label="Before" policies=${policies} value=${a} set=${setA} />
        <${PolicyField} label="After" policies=${policies} value=${b} set=${setB} />
        <${NumberField} label="Temperature" min=${0} max=${2} step="any" value=${temperature} set=${setTemperature} />
        <${NumberField} label="Seed" min=${0} max=${mostSeed} step=${1} value=${seed} set=${setSeed} />
        <button type="submit" class="strong" disabled=${state === "busy"}>Draw</button>
      </div>
    </form>
    <p class="listed" role="status">${trouble !== "" ? html`<span class="trouble">${trouble}</span>` : state === "busy" ? `Drawing … ${done} of ${counted(known.length, "prompt")}` : drawn !== undefined && `${counted(done, "prompt")} drawn by both.`}</p>
    ${drawn !== undefined && html`<div class="comparisons">${drawn.prompts.map((prompt) => html`<figure key=${prompt} class="comparison">
      <div class="pair">${[drawn.a, drawn.b].map((policy, i) => {
        const drawing = found(policy, prompt)
        return html`<div key=${i} class="side"><p class="policy">${policy}</p>${drawing === undefined ? html`<span class="frame waiting"></span><span class="foot"> </span>` : html`<${DrawnPicture} drawing=${drawing} />`}</div>`
      })}</div>
      <figcaption>${prompt}</figcaption>
    </figure>`)}</div>`}
  </section>`
}
