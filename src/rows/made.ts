/**
 * Training rows of the three roles, made from judged drawings:
 *
 * - direct: the prompt, and the drawing that the judge liked best;
 * - correction: the prompt, a draft that lost to it, what the critic said of the draft, and the best drawing;
 * - critique: the prompt, what is seen of a drawing, and what the critic said of it.
 *
 * and the preference of the best over the worst of the drawings, as IntroSVG pairs them. IntroSVG's own script pairs
 * drawings of equal scores too, which then are chosen and rejected at once; a prompt of which no drawing is better gives
 * no row here.
 */
import { correctionText, critiqueAnswer, critiqueText, type Role } from "../roles/roles.ts"
import type { JudgedPrompt } from "./judged-prompt.ts"

export interface MadeRow {
  readonly kind: Role
  readonly prompt: string
  readonly completion: string
  /** The drawing it was made from: a draft, or the one that was criticised; a file below the rows' folder. */
  readonly from: string
}

/** A drawing's file without its ending, below the rows' folder. */
export const fileOf = (id: string, place: number): string => `${id}-${place}`

/** @param goal the user message that asks for a drawing of the prompt */
export const rowsOf = ({ best, drawings, id }: JudgedPrompt, goal: string): ReadonlyArray<MadeRow> => {
  if (best === null) return []
  const from = (place: number) => `drawings/${fileOf(id, place)}.svg`
  const chosen = drawings[best]!
  return [
    { kind: "direct", prompt: goal, completion: chosen.svg, from: from(best) },
    ...drawings.flatMap(({ critique, lost, svg }, n): ReadonlyArray<MadeRow> =>
      lost && critique !== null ? [{ kind: "correction", prompt: correctionText(goal, svg, critique), completion: chosen.svg, from: from(n) }] : []),
    ...drawings.flatMap(({ critique, seen }, n): ReadonlyArray<MadeRow> =>
      critique === null ? [] : [{ kind: "critique", prompt: critiqueText(goal, seen), completion: critiqueAnswer(critique), from: from(n) }])
  ]
}

/** The best and the worst drawing; none if the best one does not beat the worst. */
export const preferenceOf = ({ best, drawings, prompt }: JudgedPrompt) => {
  if (best === null) return undefined
  const lost = drawings.filter(({ lost }) => lost)
  const worst = lost.reduce((a, b) => (b.won < a.won ? b : a))
  return worst.svg === drawings[best]!.svg ? undefined : { prompt: prompt.text, chosen: drawings[best]!.svg, rejected: worst.svg }
}

/** IntroSVG's shapes, which are LLaMA-Factory's: arrays of messages and images, and of preferences. */
export const introSvgOf = (records: ReadonlyArray<JudgedPrompt>, goalOf: (prompt: string) => string) => {
  const message = (user: string, assistant: string, images: ReadonlyArray<string> = []) => ({
    messages: [{ role: "user", content: user }, { role: "assistant", content: assistant }],
    images
  })
  const rows = records.flatMap((record) => rowsOf(record, goalOf(record.prompt.text)))
  const ofKind = (kind: Role) => rows.filter((row) => row.kind === kind).map(({ completion, prompt }) => message(prompt, completion))
  return {
    "direct.json": ofKind("direct"),
    "correction.json": ofKind("correction"),
    "critique.json": records.flatMap(({ drawings, id, prompt }) =>
      drawings.flatMap(({ critique, outcome }, n) =>
        critique === null || outcome !== "rendered"
          ? []
          : [message(critiqueText(goalOf(prompt.text), "<image>"), critiqueAnswer(critique), [`draft_image/${fileOf(id, n)}.png`])])),
    "dpo.json": records.flatMap((record) => {
      const pair = preferenceOf(record)
      return pair === undefined ? [] : [{
        conversations: [{ from: "human", value: goalOf(pair.prompt) }],
        chosen: { from: "gpt", value: pair.chosen },
        rejected: { from: "gpt", value: pair.rejected }
      }]
    })
  }
}
