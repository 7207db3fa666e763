/** A drawing as the server's picture of it, or why there is none. */
import { useState } from "preact/hooks"
import { html } from "./html.ts"

export interface PictureProps {
  /** Address of the picture. */
  readonly src: string | null
  readonly alt: string
  /** Why it did not render. */
  readonly reason: string | null
  /** Neither loads a picture nor drops a loaded one: what flies past is not asked for. */
  readonly hurried?: boolean
}

export const Picture = ({ alt, hurried = false, reason, src }: PictureProps) => {
  const [failed, setFailed] = useState<string>()
  const [shown, setShown] = useState(hurried ? null : src)
  if (!hurried && shown !== src) setShown(src)
  if (reason !== null || src === null) {
    return html`<span class="frame missing" role="img" aria-label=${`${alt}: did not render, ${reason ?? "unknown"}`}><b aria-hidden="true">${reason ?? "no picture"}</b></span>`
  }
  if (failed === src) return html`<span class="frame missing" role="img" aria-label=${`${alt}: the picture cannot be had`}><span aria-hidden="true">no picture</span></span>`
  return html`<span class="frame">${
    shown === src && html`<img key=${src} src=${src} alt=${alt} decoding="async" onError=${() => setFailed(src)} />`
  }</span>`
}
