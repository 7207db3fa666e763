import type { Rendering } from "../../src/domain.ts"
import type { Critique } from "../../src/roles/roles.ts"

/** What any critic says of a text that did not become a picture. */
export const notDrawn = ({ reason }: Exclude<Rendering, { _tag: "Rendered" }>): Critique => ({
  score: 0,
  critique: `There is no picture: ${reason}.`,
  suggestions: "Write a whole, well-formed drawing."
})
