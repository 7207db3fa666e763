import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { checklistRubric, decompositionRubric } from "../../../layers/guide/checklist-rubric.ts"
import * as JudgeChecklist from "../../../layers/judge/checklist.ts"
import { readRequirements } from "../../../layers/guide/requirements.ts"
import { Judge } from "../../../src/stages/Judge.ts"
import { type ClaudeServer, startClaudeServer } from "../../support/claude-server.ts"
import { pair } from "../../support/scene-pairs.ts"
import { betterWins, contractAt, decodes, drawings, guidedAt, survivesFaults, withQuickRetry, withServer } from "../guide/guided.ts"

contractAt("checklist", () => startClaudeServer(), (url) => guidedAt(url, JudgeChecklist.layer()))

const allPairs = (server: ClaudeServer, n: number, many: number, budgetUsd?: number) =>
  Effect.gen(function*() {
    const { compare } = yield* Judge
    const pictures = drawings(n, many)
    const pairs = pictures.flatMap((a, i) => pictures.slice(i + 1).map((b) => [a, b] as const))
    return yield* Effect.forEach(pairs, ([a, b]) => withQuickRetry(compare(pair(n).prompt, a, b)), { concurrency: "unbounded" })
  }).pipe(Effect.provide(guidedAt(server.url, JudgeChecklist.layer(), { budgetUsd })))

it.live("pays for a prompt's requirements once and for each drawing once, and the verdicts add up to the bill", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const verdicts = yield* allPairs(server, 2, 4)
      assert.strictEqual(verdicts.length, 6)
      assert.strictEqual(server.requests(), 1 + 4)
      assert.closeTo(verdicts.reduce((sum, { costUsd }) => sum + costUsd!, 0), server.billed().usd, 1e-12)
    })))

it.live("prefers the drawing that meets more, and names what only one of them meets", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      let [named, evident] = [0, 0]
      yield* betterWins(8, ({ confidence, reason, scores }, n) => {
        assert.closeTo(confidence, Math.abs(scores![0] - scores![1]), 1e-12)
        assert.match(reason!, n % 2 === 0 ? /\d and \d of \d met \| .*only A: / : /\| only B: /)
        named += reason!.split("Has each thing its shape and colour?").length - 1
        evident += reason!.split("Has each thing its shape and colour? (A: figure measures").length - 1
      })
      assert.isAbove(named, 0)
      assert.strictEqual(evident, named) // whatever the order in which the model answers
    }).pipe(Effect.provide(guidedAt(server.url, JudgeChecklist.layer())))))

it.live("as many met is a tie, whichever they are", () =>
  withServer({}, (server) => {
    const { bad, good, prompt } = pair(0)
    // A wrong colour or count is still within the picture.
    const requirements = new Map([[prompt.text, ["Does everything lie within the picture?"]]])
    return Effect.gen(function*() {
      const { confidence, outcome, scores } = yield* (yield* Judge).compare(prompt, good, bad)
      assert.deepStrictEqual([outcome, confidence, scores], ["tie", 0, [1, 1]])
      assert.strictEqual(server.requests(), 2) // nothing had to be decomposed
    }).pipe(Effect.provide(guidedAt(server.url, JudgeChecklist.layer({ requirements }))))
  }))

survivesFaults(JudgeChecklist.layer())

it.live("stops at the budget", () =>
  withServer({}, (server) =>
    Effect.gen(function*() {
      const result = yield* Effect.result(allPairs(server, 2, 4, 0.008))
      assert.strictEqual(result._tag === "Failure" ? result.failure._tag : "no failure", "JudgeStopped")
      assert.isAbove(server.requests(), 0)
      assert.isAtMost(server.billed().usd, 0.008)
    })))

describe("an answer is used only whole", () => {
  const row = (number: number) => ({ number, evidence: "", met: true })
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<object>, boolean]> = [
    ["three of three, in any order", [row(3), row(1), row(2)], true],
    ["two of three", [row(1), row(2)], false],
    ["four of three", [row(1), row(2), row(3), row(4)], false],
    ["one of them twice", [row(1), row(2), row(2)], false]
  ]
  for (const [name, requirements, usable] of cases) {
    it(name, () => assert.strictEqual(decodes(checklistRubric(3), { requirements }), usable))
  }
  it("a request becomes 3 to 10 different requirements", () => {
    const asked = (texts: ReadonlyArray<string>) =>
      decodes(decompositionRubric, { requirements: texts.map((requirement) => ({ kind: "subject", requirement })) })
    assert.deepStrictEqual(
      [["a", "b"], ["a", "b", "c"], ["a", "b", "b"], ["a", "b", " "], [..."abcdefghij"], [..."abcdefghijk"]].map(asked),
      [false, true, false, false, true, false]
    )
  })
})

describe("requirements of a user's file", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-requirements-"))
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))
  const written = (text: string, name = "file.txt") => {
    fs.writeFileSync(path.join(folder, name), text)
    return path.join(folder, name)
  }
  const read = (text: string) => Effect.map(readRequirements(written(text)), (known) => [...known])
  const refused = (text: string) => Effect.map(Effect.flip(readRequirements(written(text))), ({ message }) => path.basename(message))
  const row = (prompt: string, requirements: unknown) =>
    JSON.stringify({ messages: [], input_metadata: { row_id: "1", dataset_info: { original_prompt: prompt, requirements, total_requirements: 2 } } })

  it.effect("reads SVGBench's array and Eval Protocol's rows, whatever the file is called", () =>
    Effect.gen(function*() {
      const expected = [["a cat", ["It has ears", "It has a tail"]]]
      assert.deepStrictEqual(
        yield* read(JSON.stringify([{ prompt: " a cat", requirements: ["It has ears", "It has a tail "] }], null, 2)),
        expected as never
      )
      assert.deepStrictEqual(yield* read(`${row("a cat", ["It has ears", "It has a tail"])}\n\n`), expected as never)
    }))

  it.effect("says in one sentence where it cannot be read", () =>
    Effect.gen(function*() {
      assert.match(yield* refused(`${row("a", ["x"])}\n\n{"oh`), /^file.txt, line 3: it is not JSON\.$/)
      assert.match(yield* refused(`[\n{"prompt": "a", "requirements": ["x"]},\n{"prompt" "b"}\n]`), /^file.txt, line 3: it is not JSON from there on\.$/)
      assert.match(yield* refused(`[{"prompt": "a",\n`), /^file.txt, line 2: it is not JSON/)
      assert.match(yield* refused(`${row("a", ["x"])}\n${row("b", [])}`), /^file.txt, line 2: it needs "prompt" and a list of "requirements"/)
      assert.match(yield* refused(`[{"prompt": "a", "requirements": ["x"]}, {"prompt": "b"}]`), /^file.txt, entry 2: it needs/)
      assert.match(yield* refused(row("a", [" "])), /line 1: it needs/)
      assert.match(yield* refused("[]"), /has no requirements in it\.$/)
      assert.match(yield* refused(""), /has no requirements in it\.$/)
      assert.match((yield* Effect.flip(readRequirements(path.join(folder, "none.json")))).message, /cannot be read: it does not exist/)
    }))
})
