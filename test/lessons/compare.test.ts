import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { anchorPairs, comparePrompt, mostPairs, swissRounds } from "../../src/lessons/compare.ts"
import { type Drawing, Verdict } from "../../src/domain.ts"
import { random } from "../../src/engine/random.ts"
import { Judge, JudgeRefused, JudgeStopped } from "../../src/stages/Judge.ts"
import { candidate, inked, prompt } from "../stages/make.ts"

const cat = prompt("a cat")
const drawing = (index: number, ink: number | "rejected"): Drawing => ({
  candidate: candidate({ index, svg: `<svg>${index}</svg>` }),
  rendering: ink === "rejected"
    ? { _tag: "Rejected", reason: "blank", detail: "" }
    : { _tag: "Rendered", picture: inked(ink) }
})
const inkOf = ({ rgba }: { readonly rgba: Uint8Array }) => rgba.filter((x, i) => i % 4 === 0 && x < 128).length

/** More ink wins. */
const inkJudge = (asked: Array<string> = [], together = false) =>
  Layer.succeed(Judge, {
    name: "ink",
    identity: "ink",
    concurrency: 8,
    compare: (_, a, b) =>
      Effect.sync(() => {
        asked.push("pair")
        return new Verdict({ outcome: inkOf(a) > inkOf(b) ? "A" : "B", confidence: 0.9, by: "ink" })
      }),
    ...(together && {
      compareAll: (_, pictures) =>
        Effect.sync(() => {
          asked.push(`all ${pictures.length}`)
          return pictures.flatMap((a, i) =>
            pictures.slice(i + 1).map((b) => new Verdict({ outcome: inkOf(a) > inkOf(b) ? "A" : "B", confidence: 0.5, by: "ink" }))
          )
        })
    })
  })
const drawn = (inks: ReadonlyArray<number>) => inks.map((ink, i) => drawing(i, ink))
const inks = [0.1, 0.4, 0.2, 0.8, 0.3, 0.6, 0.5, 0.7]
const compare = (comparisons: "all" | "anchor" | "swiss", drawings: ReadonlyArray<Drawing>, maxPairsPerPrompt?: number) =>
  comparePrompt({ comparisons, maxPairsPerPrompt }, cat, drawings, [7], (work) => work)

describe("comparisons", () => {
  it.effect("all: every pair once", () =>
    Effect.gen(function*() {
      const judged = yield* compare("all", drawn(inks))
      assert.strictEqual(judged.length, 28)
      assert.strictEqual((yield* compare("all", drawn(inks), 10)).length, 10)
    }).pipe(Effect.provide(inkJudge())))

  it.effect("anchor: each once, against the first that rendered", () =>
    Effect.gen(function*() {
      const drawings = [drawing(0, "rejected"), ...inks.slice(1).map((ink, i) => drawing(i + 1, ink))]
      const judged = yield* compare("anchor", drawings)
      assert.deepStrictEqual(judged.map(({ a, b }) => [a.index, b.index]), [[0, 1], [1, 2], [1, 3], [1, 4], [1, 5], [1, 6], [1, 7]])
      assert.strictEqual(judged[0]!.verdict.by, "gate")
      assert.deepStrictEqual(anchorPairs([]), [])
    }).pipe(Effect.provide(inkJudge())))

  it.effect("swiss: three rounds of four for eight, nobody meets twice, one alone is undefeated", () =>
    Effect.gen(function*() {
      for (let trial = 0; trial < 20; trial++) {
        const draw = random(trial)
        const shuffledInks = inks.toSorted(() => draw() - 0.5)
        const judged = yield* comparePrompt({ comparisons: "swiss", maxPairsPerPrompt: undefined }, cat, drawn(shuffledInks), [trial], (work) => work)
        assert.strictEqual(judged.length, 12)
        assert.strictEqual(new Set(judged.map(({ a, b }) => `${a.index} ${b.index}`)).size, 12)
        const beaten = new Set(judged.map(({ a, b, verdict }) => (verdict.outcome === "A" ? b : a).index))
        assert.deepStrictEqual(shuffledInks.flatMap((ink, i) => (beaten.has(i) ? [] : [ink])), [0.8])
      }
      assert.deepStrictEqual([2, 3, 4, 5, 8, 9].map(swissRounds), [1, 2, 2, 3, 3, 4])
      const most = (comparisons: "all" | "anchor" | "swiss", maxPairsPerPrompt?: number) => mostPairs({ comparisons, k: 8, maxPairsPerPrompt })
      assert.deepStrictEqual([most("all"), most("all", 10), most("anchor"), most("swiss")], [28, 10, 7, 12])
    }).pipe(Effect.provide(inkJudge())))

  it.effect("swiss: an odd number leaves one out a round, duplicates never meet", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* compare("swiss", drawn(inks.slice(0, 5)))).length, 6)
      const twins = [drawing(0, 0.3), drawing(1, 0.3), drawing(2, 0.6)]
      const judged = yield* compare("swiss", twins)
      assert.isTrue(judged.every(({ b }) => b.index === 2))
    }).pipe(Effect.provide(inkJudge())))

  it.effect("a judge that sees all at once is asked once, and the gate still decides what did not render", () => {
    const asked: Array<string> = []
    return Effect.gen(function*() {
      const drawings = [drawing(0, 0.5), drawing(1, "rejected"), drawing(2, 0.2), drawing(3, 0.7)]
      const judged = yield* compare("all", drawings)
      assert.deepStrictEqual(asked, ["all 3"])
      assert.deepStrictEqual(
        judged.map(({ a, b, verdict }) => `${a.index}${b.index} ${verdict.outcome} ${verdict.by}`),
        ["01 A gate", "02 A ink", "03 B ink", "12 B gate", "13 B gate", "23 B ink"]
      )
      yield* compare("all", drawings.slice(0, 3))
      assert.deepStrictEqual(asked, ["all 3", "pair"])
      yield* compare("anchor", drawings)
      assert.strictEqual(asked.length, 4)
    }).pipe(Effect.provide(inkJudge(asked, true)))
  })

  it.effect("its refusal fails every pair of the prompt, paid once; its stop stops", () =>
    Effect.gen(function*() {
      const failing = (error: JudgeRefused | JudgeStopped) =>
        compare("all", drawn(inks.slice(0, 3))).pipe(Effect.provideService(Judge, {
          name: "list",
          identity: "list",
          concurrency: 1,
          compare: () => Effect.die("asked about a pair"),
          compareAll: () => Effect.fail(error)
        }))
      const judged = yield* failing(new JudgeRefused({ message: "no", costUsd: 0.25 }))
      assert.deepStrictEqual(judged.map(({ verdict: { costUsd, outcome } }) => [outcome, costUsd]), [["failed", 0.25], ["failed", undefined], ["failed", undefined]])
      assert.strictEqual((yield* Effect.flip(failing(new JudgeStopped({ message: "spent" })))).message, "spent")
    }))
})
