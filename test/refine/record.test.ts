/** What is kept of a refined prompt comes back as it was, and gives preferences only where the judge decided. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import type { Outcome, Rendering } from "../../src/domain.ts"
import { besideOf } from "../../src/refine/beside.ts"
import { refine, type Refined, type Round, type Version } from "../../src/refine/loop.ts"
import { bestOf, lastOf, preferencesOf, recordOf, RefineRecord } from "../../src/refine/record.ts"
import { inked, verdict } from "../stages/make.ts"
import { circle, critic, judge, options, prompts, renderer, sampler } from "./hands.ts"

const codec = Schema.fromJsonString(RefineRecord)

it.effect("a record comes back from its JSON as it was, on one line, whatever was drawn and said", () =>
  Effect.gen(function*() {
    for (const seed of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const o = { ...options, seed }
      const records = yield* Effect.gen(function*() {
        const refined = yield* refine(o, prompts)
        const beside = seed % 2 === 0 ? yield* besideOf(o, refined) : undefined
        return refined.map((of, n) => ({ of, record: recordOf(`name-${n}`, of, beside?.[n]) }))
      }).pipe(Effect.provide(Layer.mergeAll(
        sampler({ says: (_, index) => index === 1 ? `no drawing\n"'\\ \u2028 \ud800 ${circle(9).slice(3)}` : undefined }),
        critic({ seed }),
        judge({ seed }),
        renderer
      )))
      for (const { of, record } of records) {
        const line = yield* Schema.encodeEffect(codec)(record)
        assert.notInclude(line, "\n")
        const back = yield* Schema.decodeEffect(codec)(line)
        assert.deepStrictEqual(JSON.parse(yield* Schema.encodeEffect(codec)(back)), JSON.parse(line))
        assert.deepStrictEqual(back.prompt, of.prompt)
        assert.deepStrictEqual(bestOf(back), bestOf(record))
        assert.deepStrictEqual(preferencesOf(back), preferencesOf(record))
        assert.strictEqual(bestOf(back).svg, of.best.svg)
        assert.strictEqual(bestOf(back).tokens, of.best.tokens)
        const drawn = of.rounds.flatMap(({ version }) => version === undefined ? [] : [version])
        assert.strictEqual(lastOf(back).svg, (drawn.at(-1) ?? of.draft).svg)
      }
    }
  }))

it("a line that is no record is none", () => {
  const is = (value: unknown) => Schema.decodeUnknownOption(codec)(JSON.stringify(value))._tag === "Some"
  const record = {
    id: "a", prompt: { id: "x", text: "a plum" }, ended: "rounds", best: 0, draft: { svg: "", outcome: "rendered", tokens: 1, nats: 1 }, rounds: [],
    critique: null, tokens: 1, costUsd: 0, beside: null
  }
  assert.isTrue(is(record))
  for (const wrong of [{}, [], null, { ...record, best: 0.5 }, { ...record, ended: "soon" }, { ...record, critique: { score: 11, critique: "", suggestions: "" } }, { ...record, rounds: undefined }]) {
    assert.isFalse(is(wrong), JSON.stringify(wrong))
  }
})

const prompt = prompts[0]!
const told = { critique: undefined, tokens: 0, costUsd: 0 }
const version = (name: string): Version => ({ svg: name, rendering: { _tag: "Rendered", picture: inked(name.length / 10) } satisfies Rendering, tokens: 1, nats: 1 })
const round = (name: string | undefined, kept: boolean, ...outcomes: ReadonlyArray<Outcome>): Round => ({
  told,
  version: name === undefined ? undefined : version(name),
  verdicts: outcomes.map((outcome) => verdict({ outcome })),
  kept,
  problem: name === undefined ? "no critique" : undefined
})
const record = (...rounds: ReadonlyArray<Round>) => {
  const draft = version("draft")
  const of: Refined = { prompt, draft, rounds, best: rounds.findLast(({ kept }) => kept)?.version ?? draft, critique: undefined, ended: "rounds", tokens: 1, costUsd: 0 }
  return recordOf("a", of, undefined)
}
const pairs = (...rounds: ReadonlyArray<Round>) => preferencesOf(record(...rounds)).map(({ chosen, rejected }) => `${chosen} > ${rejected}`)

describe("the best", () => {
  it("is the draft, or the drawing of the last round that was kept", () => {
    assert.deepStrictEqual([record().best, bestOf(record()).svg], [0, "draft"])
    assert.strictEqual(bestOf(record(round("one", false, "B"), round(undefined, false))).svg, "draft")
    const of = record(round("one", true, "A"), round("two", true, "A", "A"), round("three", false, "B"))
    assert.deepStrictEqual([of.best, bestOf(of).svg], [2, "two"])
  })
})

describe("preferences", () => {
  it("are in TRL's shape, of what the judge chose, along what was kept", () => {
    assert.deepStrictEqual(preferencesOf(record(round("one", true, "A"))), [{ prompt: prompt.text, chosen: "one", rejected: "draft" }])
    assert.deepStrictEqual(
      pairs(round("one", true, "A"), round("two", false, "B"), round("three", true, "A", "tie"), round("four", false, "B")),
      ["one > draft", "one > two", "three > one", "three > four"]
    )
  })

  it("are none of ties, failures, drawings that are equal, and rounds without one", () => {
    assert.deepStrictEqual(pairs(round("one", false, "tie"), round("two", false, "failed"), round("three", false, "invalid"), round(undefined, false), round("draft", true, "A")), [])
  })

  it("are there for a drawing that beat the best and lost to the draft: the best stays, and the judge did decide", () => {
    assert.deepStrictEqual(pairs(round("one", true, "A"), round("two", false, "A", "B"), round("three", false, "B")), ["one > draft", "two > one", "one > three"])
  })
})
