/** Right and wrong: the grammar's own check of colours, counts and relations on the pixels, for its own prompts. */
import { Effect } from "effect"
import type { Picture, Prompt } from "../domain.ts"
import { resize } from "../drawing/resize.ts"
import { checkScene, parseCaption, type Scene } from "../scenes/index.ts"
import type { Scorer } from "../stages/Scorer.ts"
import type { Kind } from "./measures.ts"

/** Pixels of a side: the size the check was measured at. */
const side = 64

const small = ({ height, rgba, width }: Picture) => ({
  width: side,
  height: side,
  rgba: width === side && height === side ? rgba : resize(rgba, width, height, side, side, "box")
})

/** 95 % of pairs of equally good drawings score closer (`pnpm run bench margins`). Measure it again for another check. */
const margin = 0.028

export const sceneScorer: Scorer = {
  name: "scene check",
  margin,
  knows: ({ text }) => parseCaption(text) !== undefined,
  score: (prompt, picture) =>
    Effect.sync(() => {
      const scene = parseCaption(prompt.text)
      return scene === undefined ? undefined : checkScene(scene, small(picture)).score
    })
}

/** The lowest score of the scene check at which a drawing is right. */
export const rightFrom = 0.9

const kindOfScene: Readonly<Record<Scene["kind"], Kind>> = {
  creature: "single",
  vehicle: "single",
  sizes: "pair",
  relation: "relation",
  count: "count",
  rider: "rider"
}

/** `undefined` for a prompt outside the grammar: it has no right and wrong. */
export const kindOf = ({ text }: Prompt): Kind | undefined => {
  const scene = parseCaption(text)
  return scene === undefined ? undefined : kindOfScene[scene.kind]
}
