/** The tokens of a drawing, the less likely the stronger coloured. */
import { useRef, useState } from "preact/hooks"
import type { Rollout } from "./ask.ts"
import { counted, percent } from "../../report/words.ts"
import { nats } from "./format.ts"
import { html } from "./html.ts"

type Token = Rollout["tokenList"][number]

const textOf = ({ id, text }: Token): string => text ?? `#${id}`
/** As it is read aloud: a blank or a line's end is a token too. */
const named = (token: Token): string => textOf(token).replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "end"
const said = (token: Token): string => `${named(token)}, ${percent(Math.exp(token.logp))}, ${nats(-token.logp)}`

/** Nats from which the colour grows no stronger. */
const strongest = 4

export const Tokens = ({ tokens }: { readonly tokens: ReadonlyArray<Token> }) => {
  const list = useRef<HTMLDivElement>(null)
  const [at, setAt] = useState(0)
  const total = -tokens.reduce((sum, { logp }) => sum + logp, 0)
  const token = tokens[at]
  const pressed = (event: KeyboardEvent) => {
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key]
    if (next === undefined) return
    event.preventDefault()
    list.current?.querySelectorAll<HTMLElement>("[role=option]")[Math.max(0, Math.min(tokens.length - 1, next))]?.focus()
  }
  if (tokens.length === 0) return html`<p class="note">It has no tokens.</p>`
  return html`
    <p class="note">${counted(tokens.length, "token")}, ${nats(total)} in all, ${nats(total / tokens.length)} a token, under the policy that drew it. The stronger the colour, the less likely the token. Arrow keys go from one to the next.</p>
    <p class="token-said" aria-hidden="true">${token && html`<code>${named(token)}</code> <b>${percent(Math.exp(token.logp))}</b> <span class="soft">${nats(-token.logp)}, token ${at + 1} of ${tokens.length}</span>`}</p>
    <div class="tokens" role="listbox" aria-label="Tokens" aria-orientation="horizontal" ref=${list} onKeyDown=${pressed}>${tokens.map((token, i) =>
      html`<span key=${i} role="option" aria-selected=${String(i === at)} aria-label=${said(token)} tabindex=${i === at ? 0 : -1} onFocus=${() => setAt(i)} onMouseEnter=${() => setAt(i)} style=${`--unlikely:${Math.min(1, -token.logp / strongest).toFixed(2)}`}>${textOf(token)}</span>`)}</div>`
}
