/**
 * Critic: a scorer that knows texts, a CLIP for example. It is asked how well the picture fits its prompt and how well
 * each of some other prompts, and answers with what the picture looks like instead:
 *
 *      score = 10 softmax(logits over the prompt and the others)[prompt]
 *
 * For a prompt of the scene grammar the others differ from it in one fact (a colour, a number, a relation); for any other
 * they are prompts asked beside it. By itself it sees no flaw that no prompt would describe, such as a missing part. Beside
 * a better drawing it does: the score is then also multiplied by min(1, 2 σ(logit - logit of the better one)), and where no
 * other prompt fits, the critique says which colours differ (src/roles/difference.ts).
 */
import { Effect, Layer } from "effect"
import type { Prompt } from "../../src/domain.ts"
import { random, shuffled, wordsOf } from "../../src/engine/random.ts"
import { promptOf } from "../../src/prompts.ts"
import { differenceOf } from "../../src/roles/difference.ts"
import type { Critique } from "../../src/roles/roles.ts"
import { parseCaption, perturbCaption } from "../../src/scenes/index.ts"
import { Critic, type Draft, type Told } from "../../src/stages/Critic.ts"
import type { Scorer } from "../../src/stages/Scorer.ts"
import { notDrawn } from "./not-drawn.ts"

export interface CriticContrastOptions {
  /** Its scores are logits: softmax over texts makes them shares. */
  readonly scorer: Scorer
  readonly identity: string
  /** Prompts that were asked, to contrast one with where it is not of the grammar. */
  readonly others: ReadonlyArray<Prompt>
}

/** Prompts that one is contrasted with. */
const contrasts = 12

/** Equal for equal prompts, whatever else is asked. */
const othersOf = (prompt: Prompt, asked: ReadonlyArray<Prompt>): ReadonlyArray<Prompt> => {
  const scene = parseCaption(prompt.text)
  const draw = random(0xc417, ...wordsOf(prompt.id))
  const texts = scene === undefined
    ? shuffled(draw, asked.map(({ text }) => text)).slice(0, contrasts + 1)
    : Array.from({ length: 2 * contrasts }, () => perturbCaption(scene, draw))
  return [...new Set(texts)].filter((text) => text !== prompt.text).slice(0, contrasts).map(promptOf)
}

/** Below this score the picture is told apart from the better one beside it. */
const fits = 5

const softmaxFirst = (logits: ReadonlyArray<number>): number => {
  const most = Math.max(...logits)
  const weights = logits.map((logit) => Math.exp(logit - most))
  return weights[0]! / weights.reduce((sum, weight) => sum + weight, 0)
}

const right: Pick<Critique, "critique" | "suggestions"> = { critique: "It looks like what was asked.", suggestions: "Nothing." }

export const layer = ({ identity, others: asked, scorer }: CriticContrastOptions) => {
  const told = (critique: Critique | undefined, problem?: string): Told =>
    ({ critique, ...problem === undefined ? {} : { problem }, tokens: 0, costUsd: 0 })
  const one = Effect.fnUntraced(function*({ prompt, reference, rendering }: Draft) {
    if (rendering._tag !== "Rendered") return told(notDrawn(rendering))
    const others = othersOf(prompt, asked)
    // The share of one is the whole: it would praise whatever it sees.
    if (others.length === 0 && reference?._tag !== "Rendered") return told(undefined, "no other prompt is asked that this one could be contrasted with")
    const logits = yield* Effect.forEach([prompt, ...others], (text) => scorer.score(text, rendering.picture), { concurrency: "unbounded" })
    const better = reference?._tag === "Rendered" ? reference.picture : undefined
    const goal = better === undefined ? undefined : yield* scorer.score(prompt, better)
    const known = logits.filter((logit) => logit !== undefined)
    if (known.length < logits.length) return told(undefined, `${scorer.name} cannot judge this prompt`)
    const share = softmaxFirst(known)
    const behind = goal === undefined ? 1 : Math.min(1, 2 / (1 + Math.exp(goal - known[0]!)))
    const score = 10 * share * behind
    const closest = Math.max(...known.slice(1))
    if (closest > known[0]!) {
      const rival = others[known.indexOf(closest, 1) - 1]!
      return told({ score, critique: `It looks more like: ${rival.text}.`, suggestions: `Draw ${prompt.text}.` })
    }
    return told({ score, ...score < fits && better !== undefined ? differenceOf(rendering.picture, better) ?? right : right })
  })
  return Layer.succeed(Critic, {
    name: scorer.name,
    identity: `contrast-2 ${identity}`,
    critique: (drafts) => Effect.forEach(drafts, one, { concurrency: 32 })
  })
}
