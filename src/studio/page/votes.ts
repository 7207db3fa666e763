/** A person says which of two drawings is better, without having seen what the judge said. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import { type Agreement, ask, type NextPair, pictureOf, told, type Vote, voteRowsOf } from "./ask.ts"
import { counted, percent } from "../../report/words.ts"
import { fixed } from "./format.ts"
import { html } from "./html.ts"

type Pair = NonNullable<NextPair["pair"]>

const keys: Readonly<Record<string, Vote["choice"]>> = { "1": "left", ArrowLeft: "left", "2": "right", ArrowRight: "right", "3": "tie", " ": "tie" }

/** Both pictures, or neither: a choice counts only once both can be seen. */
const loaded = (addresses: ReadonlyArray<string>): Promise<unknown> =>
  Promise.all(addresses.map((src) => {
    const image = new Image()
    image.src = src
    return image.decode()
  }))

const Standing = ({ agreement: { agreement, corrections, kappa, votes } }: { readonly agreement: Agreement }) =>
  html`<dl class="tiles">
    <div class="tile"><dt>Votes</dt><dd>${votes}<small>${corrections === 0 ? "none corrects a verdict" : `${counted(corrections, "verdict")} corrected`}</small></dd></div>
    <div class="tile"><dt>Agreement with the judge</dt><dd>${agreement === null ? "–" : percent(agreement.value)}<small>${agreement === null ? "no pair that both decided" : `${percent(agreement.lower)} to ${percent(agreement.upper)}, ${counted(agreement.n, "pair")} that both decided`}</small></dd></div>
    <div class="tile"><dt>Kappa</dt><dd>${kappa === null ? "–" : fixed(kappa.value, 2)}<small>${kappa === null ? "not enough votes" : `${fixed(kappa.lower, 2)} to ${fixed(kappa.upper, 2)}, ${counted(kappa.n, "pair")}`}</small></dd></div>
  </dl>`

export const Votes = ({ run }: { readonly run: string }) => {
  const [agreement, setAgreement] = useState<Agreement>()
  /** Null: there is none left. */
  const [pair, setPair] = useState<Pair | null>()
  const [trouble, setTrouble] = useState("")
  const [busy, setBusy] = useState(true)
  const ended = useRef(new AbortController())

  const next = useCallback(async () => {
    const { pair } = await ask.nextPair(run, ended.current.signal)
    if (pair !== null) await loaded([pictureOf(run, { ...pair, index: pair.left }), pictureOf(run, { ...pair, index: pair.right })])
    setPair(pair)
  }, [run])
  /** One thing at a time; whatever fails is told, and the pair stays. */
  const attempt = async (work: () => Promise<void>) => {
    setBusy(true)
    try {
      await work()
      setTrouble("")
    } catch (error) {
      if (!ended.current.signal.aborted) setTrouble(told(error))
    }
    setBusy(false)
  }
  useEffect(() => {
    const stop = ended.current = new AbortController()
    void attempt(async () => {
      setAgreement(await ask.agreement(run, stop.signal))
      await next()
    })
    return () => stop.abort()
  }, [run])

  const vote = (choice: Vote["choice"]) => {
    if (busy || !pair) return
    const { left, promptId, right, step } = pair
    void attempt(async () => {
      setAgreement(await ask.vote(run, { step, promptId, left, right, choice, blind: true }))
      await next()
    })
  }
  const undo = () => {
    if (busy || agreement?.undoable !== true) return
    void attempt(async () => {
      setAgreement(await ask.unvote(run))
      await next()
    })
  }
  const acting = useRef({ vote, undo })
  acting.current = { vote, undo }
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return
      const target = event.target as HTMLElement
      // Tabs, buttons, links and dialogs have keys of their own.
      if (target.closest("[role=tablist], dialog, input, textarea, select") !== null) return
      if (event.key === " " && target.closest("button, a") !== null) return
      const choice = keys[event.key]
      if (event.key.toLowerCase() === "u") acting.current.undo()
      else if (choice !== undefined) acting.current.vote(choice)
      else return
      event.preventDefault()
    }
    addEventListener("keydown", pressed)
    return () => removeEventListener("keydown", pressed)
  }, [])

  const side = (name: "left" | "right", key: string, index: number, { prompt, promptId, step }: Pair) =>
    html`<button type="button" class="choice" aria-keyshortcuts=${`${key} Arrow${name === "left" ? "Left" : "Right"}`} aria-disabled=${String(busy)} onClick=${() => vote(name)}>
      <span class="frame"><img src=${pictureOf(run, { step, promptId, index })} alt=${`The ${name} drawing of “${prompt}”`} /></span>
      <span class="name"><kbd>${key}</kbd> This one is better</span>
    </button>`
  return html`<section class="first votes" aria-labelledby="votes-title">
      <p class="note" id="votes-title">Which drawing is better?</p>
      <h2 class="big" aria-live="polite">${pair === undefined ? " " : pair === null ? "Every judged pair has a vote." : `“${pair.prompt}”`}</h2>
      ${pair && html`<div class="pair">${side("left", "1", pair.left, pair)}${side("right", "2", pair.right, pair)}</div>`}
      ${pair === undefined && html`<div class="pair"><span class="frame waiting"></span><span class="frame waiting"></span></div>`}
      <div class="others">
        <button type="button" aria-keyshortcuts="3 Space" aria-disabled=${String(busy || !pair)} onClick=${() => vote("tie")}><kbd>3</kbd> Neither</button>
        <button type="button" aria-keyshortcuts="u" aria-disabled=${String(busy || agreement?.undoable !== true)} onClick=${undo}><kbd>u</kbd> Take back</button>
      </div>
      <p class="trouble" role="status">${trouble}</p>
    </section>
    <section aria-labelledby="people-title">
      <h2 id="people-title">You and the judge</h2>
      <p class="note">Over pairs that you voted on before you could know what the judge said. Ranges are 95${"\u202f"}% intervals.</p>
      ${agreement && html`<${Standing} agreement=${agreement} />`}
      <p class="listed"><a class="button" href=${voteRowsOf(run)} download=${`${run}-votes.jsonl`}>Download your votes as preference rows</a></p>
    </section>`
}
