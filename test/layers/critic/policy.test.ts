/** The policy as its own critic: asked in its critic role about what is seen; an answer that is no critique is a problem, not a failure. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as CriticPolicy from "../../../layers/critic/policy.ts"
import type { Rendering } from "../../../src/domain.ts"
import { critiqueAnswer, critiquePrefill } from "../../../src/roles/roles.ts"
import { Critic, type Draft } from "../../../src/stages/Critic.ts"
import { type Asked, options, prompts, sampler, type SamplerOptions } from "../../refine/hands.ts"
import { picture } from "../../support/scene-pairs.ts"

const draft = (n: number, rendering: Rendering = { _tag: "Rejected", reason: "malformed", detail: "" }): Draft => ({ prompt: prompts[n]!, rendering })
const critic = (o: SamplerOptions) =>
  CriticPolicy.layer({ policy: options.policy, promptTemplate: "Draw {prompt}.", seed: 1 }).pipe(Layer.provide(sampler(o)))
const critique = (drafts: ReadonlyArray<Draft>) => Critic.use((critic) => critic.critique(drafts))
const answer = (score: number) => critiqueAnswer({ score, critique: `it is ${score}`, suggestions: "More." })

it.effect("asks about the goal and what is seen, in its own form", () => {
  const asked: Array<Asked> = []
  const red = picture(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect x="8" y="8" width="20" height="20" fill="red"/></svg>`)
  return Effect.gen(function*() {
    yield* critique([draft(0, { _tag: "Rendered", picture: red }), draft(1)])
    assert.deepStrictEqual(asked.map(({ prompt }) => prompt.text), [
      "Draw a plum in 0 parts.\nSeen: red 8 8 28 28 of 400\nWhat is wrong?",
      "Draw a plum in 1 parts.\nSeen: no picture: malformed\nWhat is wrong?"
    ])
    for (const { form } of asked) assert.deepStrictEqual(form, { promptTemplate: "{prompt}", prefill: critiquePrefill, stop: "}" })
  }).pipe(Effect.provide(critic({ asked })))
})

it.effect("answers in the order of the drafts; one without a critique has a problem, and its tokens count", () =>
  Effect.gen(function*() {
    const told = yield* critique([0, 1, 2, 3, 4].map((n) => draft(n)))
    assert.deepStrictEqual(told.map(({ critique }) => critique?.score), [0, undefined, undefined, 3, undefined])
    assert.deepStrictEqual(told.map(({ problem }) => problem), [
      undefined,
      "the policy's answer is no critique in JSON",
      "the question is longer than the policy reads",
      undefined,
      "the policy's answer is no critique in JSON"
    ])
    assert.deepStrictEqual(told.map(({ tokens }) => tokens > 0), [true, true, false, true, true])
    assert.isTrue(told.every(({ costUsd }) => costUsd === 0))
  }).pipe(Effect.provide(critic({
    room: ({ text }) => text.includes("2 parts") ? 0 : 1,
    says: ({ prompt: { text } }) => {
      if (text.includes("1 parts")) return `${critiquePrefill} red, red, red`
      const n = Number(/\d/.exec(text)![0])
      return n === 4 ? answer(n).replace(":4,", ":44,") : answer(n)
    }
  }))))

it.effect("asks nothing where no question fits, or there is none", () => {
  const asked: Array<Asked> = []
  return Effect.gen(function*() {
    assert.deepStrictEqual(yield* critique([]), [])
    assert.deepStrictEqual((yield* critique([draft(0), draft(1)])).map(({ tokens }) => tokens), [0, 0])
    assert.deepStrictEqual(asked, [])
  }).pipe(Effect.provide(critic({ asked, room: () => 0 })))
})

it.effect("the same draft has the same answer, whatever is asked beside it", () =>
  Effect.gen(function*() {
    const all = yield* critique([0, 1, 2].map((n) => draft(n)))
    assert.deepStrictEqual(yield* critique([draft(1)]), [all[1]!])
  }).pipe(Effect.provide(critic({ says: () => answer(5) }))))
