/** What Compare and Playground share: settings of a draw, and a drawing that was made for the page. */
import type { Drawing } from "./ask.ts"
import { counted } from "../../report/words.ts"
import { fixed, nats } from "./format.ts"
import { html } from "./html.ts"
import { Picture } from "./picture.ts"

export const mostSeed = 2 ** 31 - 1

export const valueOf = (event: Event): string => (event.target as HTMLInputElement).value

interface NumberProps {
  readonly label: string
  readonly value: string
  readonly min: number
  readonly max: number
  readonly step: number | "any"
  readonly set: (value: string) => void
}

export const NumberField = ({ label, max, min, set, step, value }: NumberProps) =>
  html`<label class="field step">${label}<input type="number" required min=${min} max=${max} step=${step} value=${value} onInput=${(event: Event) => set(valueOf(event))} /></label>`

interface PolicyProps {
  readonly label: string
  readonly policies: ReadonlyArray<string>
  readonly value: string
  readonly set: (value: string) => void
}

export const PolicyField = ({ label, policies, set, value }: PolicyProps) =>
  html`<label class="field">${label}<select value=${value} onChange=${(event: Event) => set(valueOf(event))}>${policies.map((policy) => html`<option key=${policy} value=${policy}>${policy}</option>`)}</select></label>`

/** The trained one: the last. */
export const lastPolicy = (policies: ReadonlyArray<string>): string => policies.at(-1) ?? "base"

export const DrawnPicture = ({ drawing: { detail, logp, picture, policy, prompt, reason, tokens } }: { readonly drawing: Drawing }) =>
  html`<${Picture} src=${picture} reason=${reason} alt=${`“${prompt}”, drawn by ${policy}`} />
    <span class="foot" title=${detail}><span>${counted(tokens, "token")}</span><span aria-label=${nats(-logp)}>−log p ${fixed(-logp, 1)}</span></span>`
