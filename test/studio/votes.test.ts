import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { beforeEach } from "vitest"
import * as votesSqlite from "../../layers/store/votes.ts"
import { agreementOf, type Pair, preferencesOf, Votes } from "../../src/studio/votes.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { storedRun } from "../support/stored-run.ts"

const work = scratchFolder("votes")
const stored = path.join(work, "stored")
const run = path.join(work, "run")
const use = <A, E>(work: (votes: Votes["Service"]) => Effect.Effect<A, E>) => Votes.use(work).pipe(Effect.provide(votesSqlite.layer))
const preferences = Effect.map(use(({ drawings }) => drawings(run)), preferencesOf)
const vote = ({ a, b, promptId, step }: Pair, choice: "left" | "right" | "tie", { blind = true, swapped = false } = {}) =>
  use(({ cast }) => cast(run, { step, promptId, left: swapped ? b : a, right: swapped ? a : b, choice, blind }))
const outcomeOf = ({ a, b, promptId, step }: Pair): string => {
  const db = new DatabaseSync(path.join(run, "run.db"))
  const row = db.prepare("SELECT outcome FROM verdicts WHERE step = ? AND prompt_id = ? AND a = ? AND b = ?").get(step, promptId, a, b)
  db.close()
  return String(row!["outcome"])
}

beforeEach(async () => {
  if (!fs.existsSync(stored)) await Effect.runPromise(storedRun(stored, 4))
  fs.rmSync(run, { recursive: true, force: true })
  fs.cpSync(stored, run, { recursive: true })
})

describe("votes", () => {
  it.live("are asked of judged pairs, each once, the same one until it is answered", () =>
    Effect.gen(function*() {
      const seen = new Set<string>()
      for (;;) {
        const pair = yield* use(({ next }) => next(run))
        assert.deepStrictEqual(yield* use(({ next }) => next(run)), pair)
        if (pair === undefined) break
        const key = JSON.stringify([pair.step, pair.promptId, pair.a, pair.b])
        assert.isFalse(seen.has(key))
        seen.add(key)
        assert.include(["A", "B", "tie"], outcomeOf(pair))
        assert.isTrue(yield* vote(pair, "tie"))
      }
      assert.isAbove(seen.size, 50)
    }))

  it.live("agree with the judge or do not, whichever way round they were shown", () =>
    Effect.gen(function*() {
      const wanted = [true, true, true, false]
      for (const [n, agrees] of wanted.entries()) {
        let pair = (yield* use(({ next }) => next(run)))!
        while (outcomeOf(pair) === "tie") {
          yield* vote(pair, "left", { blind: false })
          pair = (yield* use(({ next }) => next(run)))!
        }
        const aIsBetter = (outcomeOf(pair) === "A") === agrees
        const swapped = n % 2 === 1
        yield* vote(pair, aIsBetter !== swapped ? "left" : "right", { swapped })
      }
      const { agreement, kappa } = agreementOf(yield* use(({ all }) => all(run)))
      assert.deepInclude(agreement!, { value: 0.75, n: 4 })
      assert.isAtMost(kappa?.lower ?? 0, kappa?.upper ?? 0)
    }))

  it.live("of a past verdict that was seen count as corrections, not as agreement", () =>
    Effect.gen(function*() {
      const pair = (yield* use(({ next }) => next(run)))!
      yield* vote(pair, "left", { blind: false })
      assert.deepInclude(agreementOf(yield* use(({ all }) => all(run))), { votes: 1, corrections: 1, agreement: null, kappa: null })
      assert.deepStrictEqual([...yield* use(({ of }) => of(run, pair.step, pair.promptId, pair.a))], [[pair.b, "won"]])
      assert.deepStrictEqual([...yield* use(({ of }) => of(run, pair.step, pair.promptId, pair.b))], [[pair.a, "lost"]])
    }))

  it.live("become preference rows; the last one on a pair counts, and may be taken back", () =>
    Effect.gen(function*() {
      const pair = (yield* use(({ next }) => next(run)))!
      yield* vote(pair, "left")
      const [first] = yield* preferences
      assert.deepInclude(first!, { prompt: pair.prompt, judge: "person", label: 1 })
      yield* vote(pair, "left", { swapped: true })
      const changed = yield* preferences
      assert.deepStrictEqual(changed.map(({ chosen, rejected }) => [chosen, rejected]), [[first!.rejected, first!.chosen]])
      yield* use(({ undo }) => undo(run))
      assert.deepStrictEqual(yield* preferences, [first!])
      yield* vote(pair, "tie")
      assert.deepStrictEqual(yield* preferences, [])
    }))

  it.live("on what the run does not have are refused, and nothing is written before the first one", () =>
    Effect.gen(function*() {
      const before = fs.readFileSync(path.join(run, "run.db"))
      assert.isFalse(yield* use(({ cast }) => cast(run, { step: 99, promptId: "x", left: 0, right: 1, choice: "left", blind: true })))
      yield* use(({ undo }) => undo(run))
      assert.isFalse(fs.existsSync(path.join(run, "votes.db")))
      yield* vote((yield* use(({ next }) => next(run)))!, "left")
      assert.isTrue(before.equals(fs.readFileSync(path.join(run, "run.db"))))
    }))
})
