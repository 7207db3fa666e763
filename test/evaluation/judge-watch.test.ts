import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as judgmentsSqlite from "../../layers/store/judgments.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import * as runStateSqlite from "../../layers/store/run-state.ts"
import { JudgedPair, type Outcome } from "../../src/domain.ts"
import { failuresAfter, mostFailures, watchJudge } from "../../src/evaluation/judge-watch.ts"
import { Judgments } from "../../src/stages/Judgments.ts"
import { RunState } from "../../src/stages/RunState.ts"
import { makeFailureAlarm } from "../../src/evaluation/trust.ts"
import { candidate, prompt, verdict } from "../stages/make.ts"

const database = Layer.mergeAll(judgmentsSqlite.layer, runStateSqlite.layer).pipe(Layer.provide(RunDatabase.layer({ path: ":memory:" })))

/** Judgments that end so, `perPrompt` of each prompt: what was noted, how many there were, and how it ended. */
const watching = Effect.fnUntraced(function*(outcomes: ReadonlyArray<Outcome>, o: { before?: number; perPrompt?: number; prompts?: number; step?: number } = {}) {
  const notes: Array<string> = []
  const { before = 0, perPrompt = 2, prompts = 10, step = 0 } = o
  const { stopped, watched } = yield* watchJudge({ before, prompts, note: (line) => Effect.sync(() => void notes.push(line)) })
  let came = 0
  const asked = (n: number) => ({ step, prompt: prompt(`p${Math.floor(n / perPrompt)}`), judge: "j", shown: [[0, "x"], [1, String(n)]], bare: false }) as const
  const result = yield* Effect.result(Effect.forEach(outcomes, (outcome, n) =>
    Effect.tap(watched.once(asked(n), Effect.succeed([verdict({ outcome, reason: `so it is ${n}` })])), () => Effect.sync(() => void came++))))
  return { notes, came, stopped: yield* stopped, message: result._tag === "Failure" ? `${result.failure._tag}: ${result.failure.message}` : undefined }
})
const failures = (n: number): ReadonlyArray<Outcome> => Array.from({ length: n }, () => "failed")

describe("a judge that gives no answer", () => {
  it.effect("is told of after three questions, and stops the run after twelve", () =>
    Effect.gen(function*() {
      const { came, message, notes, stopped } = yield* watching(failures(50))
      assert.strictEqual(came, mostFailures - 1)
      assert.strictEqual(message, "JudgeStopped: The judge gave no usable answer to 12 questions in a row, last because so it is 11: fix that, then resume the run.")
      assert.deepStrictEqual(notes, ["The judge gave no usable answer to 3 questions in a row, last because so it is 2; at 12 the run stops."])
      assert.isTrue(stopped)
    }))

  it.effect("does not, where one answer comes between, a tie too", () =>
    Effect.gen(function*() {
      const eleven = failures(mostFailures - 1)
      const { message, notes, stopped } = yield* watching([...eleven, "A", ...eleven, "tie", ...eleven])
      assert.deepStrictEqual([message, stopped], [undefined, false])
      assert.deepStrictEqual(notes.map((note) => Number(/\d+/.exec(note)![0])), [3, 8, 8])
    }))

  it.effect("does not, if only one or two prompts are refused", () =>
    Effect.gen(function*() {
      assert.isUndefined((yield* watching(failures(56), { perPrompt: 28 })).message)
      assert.strictEqual((yield* watching(failures(90), { perPrompt: 28 })).came, 56)
      assert.strictEqual((yield* watching(failures(90), { perPrompt: 90, prompts: 1 })).came, mostFailures - 1) // there are no more
    }))

  it.effect("is counted on from what the run had reported, and from what it had stored", () =>
    Effect.gen(function*() {
      const pairs = (outcomes: ReadonlyArray<readonly [Outcome, string]>) =>
        outcomes.map(([outcome, by]) => new JudgedPair({ a: candidate(), b: candidate({ index: 1 }), verdict: verdict({ outcome, by }) }))
      assert.strictEqual(failuresAfter(4, pairs([["failed", "j"], ["A", "gate"], ["invalid", "gate"], ["failed", "j"]])), 6)
      assert.strictEqual(failuresAfter(4, pairs([["failed", "j"], ["tie", "j"], ["failed", "j"]])), 1)
      assert.strictEqual((yield* watching(failures(20), { before: 6 })).came, mostFailures - 6 - 1)
      yield* watching(failures(8), { step: 4 })
      // As a process that was killed after eight: the store answers them, whatever the judge would say now.
      const { came, message } = yield* watching([...Array.from({ length: 8 }, () => "A" as const), ...failures(20)], { step: 4 })
      assert.strictEqual(came, mostFailures - 1)
      assert.match(message!, /12 questions in a row/)
    }).pipe(Effect.provide(database)))

  it.effect("is asked again by a resumed run, but only about steps after the checkpoint", () =>
    Effect.gen(function*() {
      const state = yield* RunState
      const judgments = yield* Judgments
      yield* watching(failures(8), { step: 3 })
      yield* watching([...failures(8), "B"], { step: 4 })
      yield* state.forgetFailures(4)
      const again = (step: number, n: number) =>
        judgments.once({ step, prompt: prompt(`p${Math.floor(n / 2)}`), judge: "j", shown: [[0, "x"], [1, String(n)]], bare: false }, Effect.succeed([verdict()]))
          .pipe(Effect.map(([verdict]) => verdict!.outcome))
      assert.deepStrictEqual([yield* again(3, 5), yield* again(4, 5), yield* again(4, 8)], ["failed", "A", "B"])
    }).pipe(Effect.provide(database)))
})

it("raises one alarm for a judge that gives no answer, and another after it had recovered", () => {
  const alarm = makeFailureAlarm()
  const step = (asked: number, failed: number, row: number) =>
    alarm({ "judge/asked": asked, "judge/failed": failed, ...(row === 0 ? {} : { "judge/failed_in_a_row": row }) })
  assert.isUndefined(step(9, 3, 3))
  assert.isUndefined(step(2, 2, 2))
  assert.match(step(3, 3, 5)!, /no usable answer to the last 5 questions/)
  assert.isUndefined(step(3, 3, 8))
  assert.isUndefined(step(3, 0, 0))
  assert.match(step(30, 14, 11)!, /the last 11 questions/)
})
