/**
 * What a policy is asked for, and in which words. IntroSVG (github.com/gitcat-404/IntroSVG) trains one model for three
 * roles: it draws, it says what is wrong with a drawing, and it draws again with that in mind. Here the parts and their
 * order are IntroSVG's, the words are shorter, and a policy without eyes reads what a program sees of the picture
 * (seen.ts) where IntroSVG's model sees the picture itself.
 */
import { Schema } from "effect"
import { jsonIn } from "../system/json-in.ts"

/** Draw a prompt; draw it again better; say what is wrong with a drawing of it. */
export const roles = ["direct", "correction", "critique"] as const
export type Role = typeof roles[number]

/** What is wrong with a drawing, and what would mend it. */
export const Critique = Schema.Struct({
  /** 0 to 10; 10: nothing is wrong. */
  score: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 10 })),
  critique: Schema.String,
  suggestions: Schema.String
})
export type Critique = typeof Critique.Type

/** Most characters of a critique or of suggestions that a policy is shown: a guide model may write pages. */
const shown = 400

const short = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length <= shown ? line : `${line.slice(0, shown - 3)}...`
}

/** The user message of a correction. @param goal the user message that asks for the drawing itself */
export const correctionText = (goal: string, draft: string, { critique, suggestions }: Pick<Critique, "critique" | "suggestions">): string =>
  [goal, "```xml", draft, "```", `Critique: ${short(critique)}`, `Suggestions: ${short(suggestions)}`].join("\n")

/** The user message of a critique. @param seen what is seen of the drawing, or `<image>` for a model that sees it */
export const critiqueText = (goal: string, seen: string): string => [goal, `Seen: ${seen}`, "What is wrong?"].join("\n")

/** How every answer of a critic begins. */
export const critiquePrefill = "{\"score\":"
/** What ends it. */
export const critiqueStop = "}"

/** A critic's answer: one line of JSON. */
export const critiqueAnswer = ({ critique, score, suggestions }: Critique): string =>
  JSON.stringify({ score: Math.round(10 * score) / 10, critique: short(critique), suggestions: short(suggestions) })

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Critique))

/** The critique in what a model said, which may say more or put it into a fence; none if there is no such JSON in it. */
export const readCritique = (text: string) => decode(jsonIn(text))
