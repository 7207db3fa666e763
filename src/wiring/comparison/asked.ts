/** Which prompts policies are compared on, and on which others their temperatures are chosen. */
import { Effect } from "effect"
import { random, shuffled } from "../../engine/random.ts"
import { type Asked, categoryOf } from "../../evaluation/standing.ts"
import { embeddedPrompts, isOneInFive, promptOf, readPromptRows } from "../../prompts.ts"
import { BadInput } from "../../system/errors.ts"

export const readTemperatures = Effect.fnUntraced(function*(text: string) {
  const given = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)))
  if (given.some((t) => !(t >= 0 && t <= 100))) {
    return yield* new BadInput({ message: `--temperatures is ${text}: give numbers from 0 to 100 with commas between them.` })
  }
  return [...new Set(given)].sort((a, b) => a - b)
})

/** Most prompts that temperatures are chosen on. */
const mostChoice = 64

/**
 * The prompts to measure, and others to choose temperatures on.
 *
 * @param chooses whether there is more than one temperature
 */
export const readAsked = Effect.fnUntraced(function*(file: string, chooseOn: string | undefined, chooses: boolean, limit: number, seed: number) {
  const few = <A>(all: ReadonlyArray<A>) => shuffled(random(seed, 0xc401ce), all).slice(0, mostChoice)
  const given = chooseOn === undefined ? undefined : (yield* readPromptRows(chooseOn)).map(({ text }) => promptOf(text))
  if (file === "embedded") {
    const { heldOut, train } = embeddedPrompts(limit)
    return { asked: heldOut.map((prompt): Asked => ({ prompt, category: categoryOf(prompt, undefined) })), choice: few(given ?? train) }
  }
  const rows = yield* readPromptRows(file)
  const all = [...new Map(rows.map((row) => [row.text, row])).values()].map(({ category, requirements, text }): Asked => {
    const prompt = promptOf(text)
    return { prompt, category: categoryOf(prompt, category), requirements }
  })
  if (given !== undefined || !chooses) {
    const asked = all.slice(0, limit)
    const texts = new Set(asked.map(({ prompt }) => prompt.text))
    return { asked, choice: few((given ?? []).filter(({ text }) => !texts.has(text))) }
  }
  const [choice, asked] = [all.filter(({ prompt }) => isOneInFive(prompt)), all.filter(({ prompt }) => !isOneInFive(prompt)).slice(0, limit)]
  if (choice.length === 0 || asked.length === 0) {
    return yield* new BadInput({ message: `${file} has too few prompts to choose a temperature on some and measure on others: give others as --choose-on, or one temperature as --temperatures.` })
  }
  return { asked, choice: few(choice.map(({ prompt }) => prompt)) }
})
