/** How every drawing is rendered: letters are allowed where its prompt asks for them. */
import { Effect } from "effect"
import type { Candidate, Drawing, Prompt } from "../domain.ts"
import { asksForText } from "../prompts.ts"
import { Renderer } from "./Renderer.ts"

export const renderFor = (prompt: Prompt, svg: string) =>
  Effect.flatMap(Renderer, ({ render }) => render(svg, { allowText: asksForText(prompt) }))

export const renderCandidate = (candidate: Candidate) =>
  Effect.map(renderFor(candidate.prompt, candidate.svg), (rendering): Drawing => ({ candidate, rendering }))
