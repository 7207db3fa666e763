/** What a person may do to the run that this process trains. */
import { useEffect, useRef, useState } from "preact/hooks"
import { ask, type Steer, type Steering as State, told } from "./ask.ts"
import { dollars } from "../../report/words.ts"
import { html } from "./html.ts"

/** Leaves by Escape too. */
export const Dialog = ({ children, closed, label }: { readonly children: unknown; readonly closed: () => void; readonly label: string }) => {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const element = dialog.current!
    element.showModal()
    // Closed before it goes, it gives the focus back.
    return () => element.close()
  }, [])
  return html`<dialog ref=${dialog} aria-label=${label} onClose=${closed}>${children}</dialog>`
}

interface Props {
  readonly steering: State
  /** US dollars so far. */
  readonly spent: number
  readonly changed: () => void
}

export const Steering = ({ changed, spent, steering }: Props) => {
  const [asked, setAsked] = useState<"stop" | "budget">()
  const [trouble, setTrouble] = useState<string>()
  const [busy, setBusy] = useState(false)
  const [budget, setBudget] = useState("")
  const { budgetUsd, paused, stopping } = steering
  const close = () => setAsked(undefined)
  const steer = async (change: Steer) => {
    setBusy(true)
    try {
      await ask.steer(change)
      setTrouble(undefined)
      close()
    } catch (error) {
      setTrouble(told(error))
    }
    setBusy(false)
    changed()
  }
  const lower = (event: Event) => {
    event.preventDefault()
    void steer({ budgetUsd: Number(budget) })
  }
  const said = trouble ?? (stopping ? "Ends after the step under way." : paused ? "Waits between two steps." : "")
  return html`<div class="steering" role="group" aria-label="Steer the run">
    <span class="soft" role="status">${said}</span>
    <button type="button" disabled=${busy || stopping} onClick=${() => steer({ pause: !paused })}>${paused ? "Go on" : "Pause"}</button>
    <button type="button" disabled=${busy || stopping} onClick=${() => setAsked("stop")}>Stop …</button>
    ${budgetUsd !== null && html`<button type="button" disabled=${busy} onClick=${() => setAsked("budget")}>Budget ${dollars(budgetUsd)} …</button>`}
    ${asked === "stop" && html`<${Dialog} label="Stop the run?" closed=${close}>
      <h2>Stop the run?</h2>
      <p class="note">It ends after the step under way and can be resumed from there.</p>
      <p class="actions"><button type="button" class="strong" disabled=${busy} onClick=${() => steer({ stop: true })}>Stop after this step</button><button type="button" onClick=${close}>Go on training</button></p>
    </${Dialog}>`}
    ${asked === "budget" && html`<${Dialog} label="Lower the budget" closed=${close}>
      <form onSubmit=${lower}>
        <h2>Lower the budget</h2>
        <p class="note">Judges have cost ${dollars(spent)} so far and may cost ${dollars(budgetUsd ?? 0)} in all. The budget can only become less.</p>
        <label class="field">US dollars in all<input type="number" required min="0" max=${budgetUsd ?? 0} step="any" value=${budget} onInput=${(event: InputEvent) => setBudget((event.target as HTMLInputElement).value)} /></label>
        <p class="trouble" role="status">${trouble}</p>
        <p class="actions"><button type="submit" class="strong" disabled=${busy}>Lower it</button><button type="button" onClick=${close}>Leave it</button></p>
      </form>
    </${Dialog}>`}
  </div>`
}
