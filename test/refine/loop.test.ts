/** The loop never gives worse than the draft by the judge's own word, ends, and counts right, whatever its judge and critic say. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { promptOf } from "../../src/prompts.ts"
import { draftStep, refine, type Refined, type RefineOptions } from "../../src/refine/loop.ts"
import { recordOf } from "../../src/refine/record.ts"
import type { Draft } from "../../src/stages/Critic.ts"
import { decideRenderings } from "../../src/lessons/decide.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { Verdict } from "../../src/domain.ts"
import { type Asked, circle, critic, type CriticOptions, criticTokens, judge, options, prompts, renderer, sampler, type SamplerOptions } from "./hands.ts"

const hands = (seed: number, o: { readonly critic?: CriticOptions; readonly sampler?: SamplerOptions } = {}) =>
  Layer.mergeAll(sampler(o.sampler), critic({ seed, ...o.critic }), judge({ seed }), renderer)

/** The judge says the same of every pair of two pictures. */
const says = (outcome: Verdict["outcome"]) =>
  Layer.succeed(Judge, {
    name: "one word",
    identity: "one word",
    concurrency: 1,
    compare: () => Effect.succeed(new Verdict({ outcome, confidence: 0.5, by: "one word" }))
  })

const seeds = Array.from({ length: 200 }, (_, seed) => seed)
/** Other settings for each seed. */
const asked = (seed: number): RefineOptions => ({
  ...options,
  seed,
  rounds: seed % 7,
  patience: 1 + seed % 3,
  threshold: [9, 5, 11, 0][seed % 4]!
})

const sum = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0)
const close = (a: number, b: number) => assert.closeTo(a, b, 1e-9)

/** Corrections after the last one that was kept. */
const inVain = ({ rounds }: Refined): number => rounds.length - 1 - rounds.findLastIndex(({ kept }) => kept)

describe("whatever judge and critic say", () => {
  it.effect("nobody gets a drawing that the judge ranks below the draft, and the rest adds up", () =>
    Effect.gen(function*() {
      let [better, lostToDraft, failed, repaired] = [0, 0, 0, 0]
      for (const seed of seeds) {
        const o = asked(seed)
        const criticised: Array<Draft> = []
        const ticks: Array<number> = []
        const all = yield* refine(o, prompts, (round) => Effect.sync(() => void ticks.push(round))).pipe(
          Effect.provide(hands(seed, { critic: { asked: criticised } }))
        )
        assert.deepStrictEqual(all.map(({ prompt }) => prompt.id), prompts.map(({ id }) => id))
        assert.deepStrictEqual(ticks, ticks.map((_, n) => n + 1))
        assert.isAtMost(ticks.length, o.rounds)
        for (const of of all) {
          const { best, costUsd, critique, draft, ended, prompt, rounds, tokens } = of
          const why = `seed ${seed}, ${prompt.text}`

          // Kept rounds and the best agree; each later one beat the best before it and does not lose to the draft.
          assert.strictEqual(best, rounds.findLast(({ kept }) => kept)?.version ?? draft, why)
          let before = draft
          for (const { kept, verdicts, version } of rounds) {
            assert.strictEqual(kept, verdicts[0]?.outcome === "A" && (verdicts[1] === undefined ? before === draft : ["A", "tie"].includes(verdicts[1].outcome)), why)
            if (verdicts[0]?.outcome === "failed" || version === undefined) failed++
            if (verdicts[1]?.outcome === "B") lostToDraft++
            if (kept) before = version!
          }
          if (best !== draft) {
            better++
            const again = yield* decideRenderings(prompt, best.rendering, draft.rendering).pipe(Effect.provide(judge({ seed })))
            assert.include(["A", "tie"], again.outcome, why)
            const swapped = yield* decideRenderings(prompt, draft.rendering, best.rendering).pipe(Effect.provide(judge({ seed })))
            assert.include(["B", "tie"], swapped.outcome, why)
          }
          if (draft.rendering._tag === "Rendered") assert.strictEqual(best.rendering._tag, "Rendered", why)
          else if (best !== draft) {
            repaired++
            // The first correction that renders takes the place of a draft that does not.
            assert.strictEqual(rounds.findIndex(({ kept }) => kept), rounds.findIndex(({ version }) => version?.rendering._tag === "Rendered"), why)
          }

          // It ends for one reason.
          assert.isAtMost(rounds.length, o.rounds, why)
          assert.isAtMost(inVain(of), o.patience, why)
          if (ended === "patience") assert.strictEqual(inVain(of), o.patience, why)
          if (ended === "threshold") assert.isAtLeast(critique!.score, o.threshold, why)
          if (ended === "rounds") assert.strictEqual(rounds.length, o.rounds, why)
          if (o.threshold === 11) assert.notStrictEqual(ended, "threshold", why)

          // A drawing is criticised once, and paid once.
          const mine = criticised.filter((draft) => draft.prompt === prompt)
          assert.deepStrictEqual(mine.map(({ rendering }) => rendering), [draft, ...rounds.flatMap(({ kept, version }) => kept ? [version!] : [])].map(({ rendering }) => rendering), why)
          assert.strictEqual(tokens, draft.tokens + sum(rounds.map(({ version }) => version?.tokens ?? 0)) + criticTokens * mine.length, why)
          close(costUsd, sum(rounds.flatMap(({ verdicts }) => verdicts.map(({ costUsd = 0 }) => costUsd))) + 0.125 * mine.length)
        }
      }
      for (const times of [better, lostToDraft, failed, repaired]) assert.isAbove(times, 10) // each was tried
    }))

  it.effect("the same seed gives the same result, whatever is refined beside it, and another seed another", () =>
    Effect.gen(function*() {
      for (const seed of [0, 1, 2, 3]) {
        const run = (o: RefineOptions, of = prompts) =>
          Effect.map(refine(o, of), (all) => all.map((one) => recordOf(one.prompt.id, one, undefined))).pipe(Effect.provide(hands(seed)))
        const o = { ...options, seed }
        const first = yield* run(o)
        assert.deepStrictEqual(yield* run(o), first)
        assert.deepStrictEqual(yield* run(o, prompts.toReversed()), first.toReversed())
        assert.deepStrictEqual(yield* run(o, [prompts[3]!]), [first[3]!])
        assert.notDeepEqual(yield* run({ ...o, seed: seed + 100 }), first)
      }
    }))
})

describe("a round that fails keeps what there was", () => {
  it.effect("without a critique nothing is drawn, and the critic's reason is kept", () =>
    Effect.gen(function*() {
      const drawn: Array<Asked> = []
      const [of] = yield* refine({ ...options, patience: 3 }, [prompts[0]!]).pipe(Effect.provide(hands(0, { critic: { silent: 1 }, sampler: { broken: 0, asked: drawn } })))
      assert.strictEqual(of!.best, of!.draft)
      assert.deepStrictEqual([of!.ended, of!.rounds.length, of!.critique], ["patience", 3, undefined])
      for (const { kept, problem, verdicts, version } of of!.rounds) assert.deepStrictEqual([kept, problem, verdicts, version], [false, "it says nothing", [], undefined])
      assert.deepStrictEqual(drawn.map(({ step }) => step), [draftStep])
      assert.strictEqual(of!.tokens, of!.draft.tokens + criticTokens)
    }))

  it.effect("a question that is longer than the policy reads is not asked", () =>
    Effect.gen(function*() {
      const drawn: Array<Asked> = []
      const [of] = yield* refine({ ...options, threshold: 11 }, [prompts[0]!]).pipe(
        Effect.provide(hands(0, { critic: { silent: 0 }, sampler: { broken: 0, asked: drawn, room: () => 0 } }))
      )
      assert.deepStrictEqual(of!.rounds.map(({ problem }) => problem), Array.from({ length: 2 }, () => "drawing and critique are longer than the policy reads"))
      assert.lengthOf(drawn, 1)
    }))

  for (const outcome of ["tie", "B", "failed", "invalid"] as const) {
    it.effect(`a judgment of ${outcome} keeps the draft`, () =>
      Effect.gen(function*() {
        const [of] = yield* refine({ ...options, threshold: 11 }, [prompts[0]!]).pipe(
          Effect.provide(Layer.mergeAll(sampler({ broken: 0 }), critic({ silent: 0 }), says(outcome), renderer))
        )
        assert.strictEqual(of!.best, of!.draft)
        assert.deepStrictEqual([of!.ended, of!.rounds.map(({ verdicts }) => verdicts.map((verdict) => verdict.outcome))], ["patience", [[outcome], [outcome]]])
      }))
  }

  it.effect("a correction that does not render loses by the gate, and the judge is not asked", () =>
    Effect.gen(function*() {
      const [of] = yield* refine({ ...options, threshold: 11 }, [prompts[0]!]).pipe(
        Effect.provide(Layer.mergeAll(
          sampler({ broken: 0, says: ({ step }) => step === draftStep ? undefined : "<svg oh" }),
          critic({ silent: 0 }),
          says("A"),
          renderer
        ))
      )
      assert.strictEqual(of!.best, of!.draft)
      assert.deepStrictEqual(of!.rounds.map(({ verdicts: [verdict] }) => [verdict!.outcome, verdict!.by]), [["B", "gate"], ["B", "gate"]])
    }))
})

describe("it ends", () => {
  const run = (o: Partial<RefineOptions>, outcome: Verdict["outcome"], critics: CriticOptions = {}) =>
    Effect.map(refine({ ...options, ...o }, [prompts[0]!]), ([of]) => of!).pipe(
      Effect.provide(Layer.mergeAll(sampler({ broken: 0 }), critic({ silent: 0, ...critics }), says(outcome), renderer))
    )

  it.effect("at the threshold before a correction is drawn", () =>
    Effect.gen(function*() {
      const of = yield* run({ threshold: 0 }, "A")
      assert.deepStrictEqual([of.ended, of.rounds.length, of.best === of.draft], ["threshold", 0, true])
    }))

  it.effect("after its rounds where each is better, and the last drawing has a critique too", () =>
    Effect.gen(function*() {
      const asked: Array<Draft> = []
      const of = yield* run({ rounds: 5, threshold: 11, patience: 1 }, "A", { asked })
      assert.deepStrictEqual([of.ended, of.rounds.length], ["rounds", 5])
      assert.strictEqual(of.best, of.rounds[4]!.version)
      assert.lengthOf(asked, 6)
      const { rendering } = of.best
      assert.include(of.critique!.critique, rendering._tag === "Rendered" ? rendering.picture.hash.slice(0, 8) : "!")
    }))

  it.effect("with 0 rounds after the draft and its critique", () =>
    Effect.gen(function*() {
      const of = yield* run({ rounds: 0, threshold: 11 }, "A")
      assert.deepStrictEqual([of.ended, of.rounds.length, of.critique === undefined], ["rounds", 0, false])
    }))

  it.effect("with no prompts at once", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* refine(options, []).pipe(Effect.provide(hands(0))), [])
    }))
})

it.effect("a correction's question has the request, the best drawing and what was said of it, and its answer is read out of prose", () =>
  Effect.gen(function*() {
    const asked: Array<Asked> = []
    const odd = promptOf("a plum of {prompt} and $& colours")
    const draft = circle(12)
    const [of] = yield* refine({ ...options, rounds: 1, threshold: 11, promptTemplate: "Draw {prompt}, now" }, [odd]).pipe(Effect.provide(Layer.mergeAll(
      sampler({ asked, says: ({ step }) => step === draftStep ? `Here: ${draft} Done.` : `${circle(33)} <!-- better -->` }),
      critic({ silent: 0 }),
      says("A"),
      renderer
    )))
    const [, question] = asked
    assert.deepStrictEqual(question!.form, { promptTemplate: "{prompt}", prefill: "<svg", stop: "</svg>" })
    assert.match(question!.prompt.text, /^Draw a plum of \{prompt\} and \$& colours, now\n```xml\n<svg .*<\/svg>\n```\nCritique: seen [0-9a-f]{8}\nSuggestions: More\.$/)
    assert.include(question!.prompt.text, draft)
    assert.deepStrictEqual([of!.draft.svg, of!.best.svg], [draft, circle(33)])
  }))
