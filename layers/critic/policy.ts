/**
 * Critic: the policy itself, asked in its critic role. It has no eyes: it reads what a program sees of the picture
 * (src/roles/seen.ts), and is of use only if it was taught that role (`vequinox make-rows`, then `vequinox sft`).
 */
import { Effect, Layer, Option } from "effect"
import { userText } from "../../src/model/tokenizer/tokenizer.ts"
import { promptOf } from "../../src/prompts.ts"
import { critiquePrefill, critiqueStop, critiqueText, readCritique } from "../../src/roles/roles.ts"
import { seenOf } from "../../src/roles/seen.ts"
import { Critic, type Draft, type Told } from "../../src/stages/Critic.ts"
import type { PolicySnapshot } from "../../src/stages/Policy.ts"
import { type AnswerForm, Sampler } from "../../src/stages/Sampler.ts"

export interface CriticPolicyOptions {
  readonly policy: PolicySnapshot
  /** User message that asks for a drawing; `{prompt}` stands for the prompt. */
  readonly promptTemplate: string
  /** >= 0. Default 0: IntroSVG's last critique; its others are drawn at 0.1. */
  readonly temperature?: number
  readonly seed: number
}

const form: AnswerForm = { promptTemplate: "{prompt}", prefill: critiquePrefill, stop: critiqueStop }

/** No training step has this number. */
const criticStep = -3

export const layer = ({ policy, promptTemplate, seed, temperature = 0 }: CriticPolicyOptions) =>
  Layer.effect(
    Critic,
    Effect.gen(function*() {
      const { room = () => Effect.succeed(Infinity), sample } = yield* Sampler
      const questionOf = ({ prompt, rendering }: Draft) =>
        promptOf(critiqueText(userText({ promptTemplate }, prompt.text), seenOf(rendering)))
      const critique = Effect.fn("Critic.critique")(function*(drafts: ReadonlyArray<Draft>) {
        const questions = drafts.map(questionOf)
        const rooms = yield* Effect.forEach(questions, (question) => room(question, form))
        const fitting = questions.filter((_, n) => rooms[n]! >= 1)
        const groups = fitting.length === 0 ? [] : yield* sample({ step: criticStep, prompts: fitting, k: 1, seed, policy, temperature, form })
        let next = 0
        return questions.map((_, n): Told => {
          if (rooms[n]! < 1) return { critique: undefined, problem: "the question is longer than the policy reads", tokens: 0, costUsd: 0 }
          const { completionIds, svg: said } = groups[next++]![0]!
          const critique = Option.getOrUndefined(readCritique(said))
          const told = { critique, tokens: completionIds.length, costUsd: 0 }
          return critique === undefined ? { ...told, problem: "the policy's answer is no critique in JSON" } : told
        })
      })
      return Critic.of({ name: "policy", identity: `policy-1 temperature=${temperature}`, critique })
    })
  )
