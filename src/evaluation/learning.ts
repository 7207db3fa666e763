/** Puts together what two policies' drawings say: nothing here draws or asks anything. */
import type { Prompt } from "../domain.ts"
import type { PromptDrawn } from "./drawings.ts"
import { type AtTemperature, type BestOf, type Choice, kinds, type Learning, type RightChange, type Share } from "./measures.ts"
import { kindOf } from "./scene-check.ts"
import { sentenceOf } from "./sentence.ts"
import { mean, pairedBootstrap } from "./statistics.ts"
import { bestTemperature, distinctAtOneEntropy } from "./temperature.ts"
import { first, isRight, meanTokens, type Score, scorerOver, shareRight, validity, valuesOf, worthOf, type Yardstick } from "./worth.ts"

/** One policy's drawings of the held-out prompts by temperature, and its choice. */
export interface PolicyDrawn {
  readonly choice: ReadonlyArray<Choice>
  readonly heldOut: ReadonlyMap<number, ReadonlyArray<PromptDrawn>>
}

export interface LearningParts {
  readonly yardstick: Yardstick
  readonly chosenOn: Learning["chosenOn"]
  readonly before: PolicyDrawn
  readonly after: PolicyDrawn
  readonly seed: number
  /** Where the untrained policy's best of K was drawn, and who chose; or why nobody was asked. */
  readonly bestOf: { readonly judge: string; readonly temperature: number; readonly k: number } | { readonly notAsked: string }
}

/** One policy's drawings at its best temperature. */
export const atBest = ({ choice, heldOut }: PolicyDrawn): ReadonlyArray<PromptDrawn> => heldOut.get(bestTemperature(choice))!

const curveOf = ({ heldOut }: PolicyDrawn, score: Score): ReadonlyArray<AtTemperature> =>
  [...heldOut].map(([temperature, all]) => {
    const drawings = all.map(first)
    return {
      temperature,
      right: shareRight(all, first),
      score: mean(valuesOf(all, score, (of) => [first(of)])),
      validity: validity(drawings),
      tokens: meanTokens(drawings)
    }
  })

/** Values of the prompts on which both have one, in their order. */
const paired = (before: ReadonlyArray<number | undefined>, after: ReadonlyArray<number | undefined>) =>
  before.flatMap((b, n) => {
    const a = after[n]
    return b === undefined || a === undefined ? [] : [{ before: b, after: a, difference: a - b }]
  })

const rights = (all: ReadonlyArray<PromptDrawn>) =>
  all.map((of) => {
    const right = isRight(of.prompt, first(of))
    return right === undefined ? undefined : Number(right)
  })

const rightChange = (before: ReadonlyArray<PromptDrawn>, after: ReadonlyArray<PromptDrawn>, seed: number): RightChange | null => {
  const [b, a] = [shareRight(before, first), shareRight(after, first)] as [Share, Share] | [null, null]
  if (b === null) return null
  return { before: b, after: a, difference: pairedBootstrap(paired(rights(before), rights(after)).map(({ difference }) => difference), seed) }
}

/** Powers of two up to `most`, and `most`. */
export const countsUpTo = (most: number): ReadonlyArray<number> => {
  const counts: Array<number> = []
  for (let k = 2; k < most; k *= 2) counts.push(k)
  return most < 2 ? [] : [...counts, most]
}

const bestOfK = (parts: LearningParts, score: Score, worth: Score): BestOf | { readonly notAsked: string } => {
  if ("notAsked" in parts.bestOf) return parts.bestOf
  const { judge, k: most, temperature } = parts.bestOf
  const all = parts.before.heldOut.get(temperature)!
  const after = atBest(parts.after)
  return {
    judge,
    temperature,
    of: [1, ...countsUpTo(most)].map((k) => {
      const champion = ({ champions, drawings }: PromptDrawn) => drawings[champions![k - 1]!]!
      const pairs = paired(all.map((of) => worth(of.prompt, champion(of))), after.map((of) => worth(of.prompt, first(of))))
      return {
        k,
        right: shareRight(all, champion),
        score: mean(valuesOf(all, score, (of) => [champion(of)])),
        tokens: mean(all.map(({ drawings }) => drawings.slice(0, k).reduce((sum, { tokens }) => sum + tokens, 0))),
        trainedMinusThis: pairedBootstrap(pairs.map(({ difference }) => difference), parts.seed)
      }
    })
  }
}

const ofKind = (all: ReadonlyArray<PromptDrawn>, holds: (prompt: Prompt) => boolean) => all.filter(({ prompt }) => holds(prompt))

export const learningOf = (parts: LearningParts): Learning => {
  const { after, before, chosenOn, seed, yardstick } = parts
  const score = scorerOver(yardstick, [...before.heldOut.values(), ...after.heldOut.values()].flat())
  const worth = worthOf(yardstick, score)
  const [b, a] = [atBest(before), atBest(after)]
  const scores = paired(b.map((of) => score(of.prompt, first(of))), a.map((of) => score(of.prompt, first(of))))
  const facts = {
    measure: yardstick.measure,
    scorer: yardstick.scorer?.name ?? "none",
    heldOut: b.length,
    chosenOn,
    before: { bestTemperature: bestTemperature(before.choice), choice: before.choice, curve: curveOf(before, score) },
    after: { bestTemperature: bestTemperature(after.choice), choice: after.choice, curve: curveOf(after, score) },
    right: rightChange(b, a, seed),
    score: {
      before: mean(scores.map(({ before }) => before)),
      after: mean(scores.map(({ after }) => after)),
      difference: pairedBootstrap(scores.map(({ difference }) => difference), seed)
    },
    kinds: kinds.flatMap((kind) => {
      const is = (prompt: Prompt) => kindOf(prompt) === kind
      const change = rightChange(ofKind(b, is), ofKind(a, is), seed)
      return change === null ? [] : [{ kind, ...change }]
    }),
    bestOf: bestOfK(parts, score, worth),
    distinct: distinctAtOneEntropy(before.choice, after.choice)
  }
  return { ...facts, sentence: sentenceOf(facts) }
}
