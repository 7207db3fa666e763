import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { beforeAll } from "vitest"
import * as archiveSqlite from "../../layers/store/archive.ts"
import { lockRun } from "../../layers/store/run-lock.ts"
import { runFolder } from "../../src/run/folder.ts"
import { Archive, type Wanted } from "../../src/studio/archive.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { storedRun } from "../support/stored-run.ts"

const work = scratchFolder("archive")
const run = path.join(work, "run")
const steps = 6
const use = <A, E>(work: (archive: Archive["Service"]) => Effect.Effect<A, E>) => Archive.use(work).pipe(Effect.provide(archiveSqlite.layer))
const sql = (text: string) => {
  const db = new DatabaseSync(path.join(run, "run.db"))
  try {
    return db.prepare(text).all()
  } finally {
    db.close()
  }
}
const all = (wanted: Omit<Wanted, "limit"> = {}) => use(({ rollouts }) => rollouts(run, { ...wanted, limit: 1000 }))

beforeAll(async () => {
  await Effect.runPromise(storedRun(run, steps))
  const db = new DatabaseSync(path.join(run, "run.db"))
  // One of each kind of trouble.
  db.exec("UPDATE candidates SET rendering = 'Rejected', reason = 'no-svg', detail = 'no <svg>' WHERE step = 1 AND idx = 0")
  db.exec("UPDATE candidates SET rendering = 'Killed', reason = 'deadline', detail = '2 s' WHERE step = 2 AND idx = 1")
  db.exec("UPDATE verdicts SET outcome = 'failed', reason = 'no answer' WHERE step = 3 AND a = 0 AND b = 1")
  db.close()
})

describe("the archive", () => {
  it.live("gives every drawing once, newest step first, whatever the size of a page", () =>
    Effect.gen(function*() {
      const whole = yield* all()
      assert.strictEqual(whole.length, sql("SELECT 1 FROM candidates").length)
      assert.deepStrictEqual([...new Set(whole.map(({ step }) => step))], [5, 4, 3, 2, 1, 0])
      for (const limit of [1, 7, 16]) {
        const paged = []
        for (let page = yield* use(({ rollouts }) => rollouts(run, { limit })); page.length > 0;) {
          paged.push(...page)
          const after = page.at(-1)!
          page = yield* use(({ rollouts }) => rollouts(run, { limit, after }))
        }
        assert.deepStrictEqual(paged, whole)
      }
    }))

  it.live("filters by prompt, reason, verdict and step as a plain reading of the tables does", () =>
    Effect.gen(function*() {
      const whole = yield* all()
      const same = (wanted: Omit<Wanted, "limit">, keep: (row: (typeof whole)[number]) => boolean) =>
        Effect.map(all(wanted), (rows) => {
          assert.deepStrictEqual(rows, whole.filter(keep))
          assert.isNotEmpty(rows)
        })
      yield* same({ prompt: "THING 1" }, ({ prompt }) => prompt.includes("thing 1"))
      yield* same({ reason: "no-svg" }, ({ reason }) => reason === "no-svg")
      yield* same({ reason: "deadline" }, ({ rendering }) => rendering === "killed")
      yield* same({ reason: "rendered" }, ({ rendering }) => rendering === "rendered")
      yield* same({ verdict: "won" }, ({ won }) => won > 0)
      yield* same({ verdict: "lost", from: 2 }, ({ lost, step }) => lost > 0 && step >= 2)
      yield* same({ verdict: "failed" }, ({ failed }) => failed > 0)
      yield* same({ from: 2, to: 3 }, ({ step }) => step === 2 || step === 3)
      assert.deepStrictEqual(yield* all({ prompt: "%" }), []) // no pattern
      assert.deepStrictEqual(yield* all({ prompt: "' OR 1 --" }), [])
    }))

  it.live("tells a drawing's verdicts from its own side", () =>
    Effect.gen(function*() {
      for (const row of (yield* all()).slice(0, 40)) {
        const found = (yield* use(({ rollout }) => rollout(run, row)))!
        const { failed, lost, tied, won, step, promptId, index } = row
        const of = (outcome: string) => found.verdicts.filter((verdict) => verdict.outcome === outcome).length
        assert.deepStrictEqual([of("won"), of("lost"), of("tie"), of("failed")], [won, lost, tied, failed])
        assert.strictEqual(found.tokenList.length, row.tokens)
        assert.include(found.siblings.map((sibling) => sibling.index), index)
        for (const { against, outcome } of found.verdicts) {
          const other = (yield* use(({ rollout }) => rollout(run, { step, promptId, index: against })))!
          const back = other.verdicts.find((verdict) => verdict.against === index)!.outcome
          assert.strictEqual(back, outcome === "won" ? "lost" : outcome === "lost" ? "won" : outcome)
        }
        for (const lesson of found.lessons) assert.include(["chosen", "rejected"], lesson.as)
      }
      assert.isUndefined(yield* use(({ rollout }) => rollout(run, { step: 99, promptId: "x", index: 0 })))
    }))

  it.live("counts, and says what went wrong", () =>
    Effect.gen(function*() {
      const { drawings, faults, pairs } = yield* use(({ counts }) => counts(run))
      assert.strictEqual(drawings, sql("SELECT 1 FROM candidates").length)
      assert.strictEqual(pairs, sql("SELECT 1 FROM verdicts").length)
      assert.includeMembers(faults.map(({ kind, reason }) => `${kind} ${reason}`), ["rejected no-svg", "killed deadline", "failed fake"])
      const extent = yield* use(({ extent }) => extent(run))
      assert.deepInclude(extent, { steps, firstStep: 0, lastStep: steps - 1, usd: 0 })
    }))

  it.live("gives reports in lots, as they were stored", () =>
    Effect.gen(function*() {
      const after = (step: number, most: number) => use(({ reportsAfter }) => reportsAfter(run, step, most))
      const stored = sql("SELECT step, metrics FROM reports ORDER BY step").map(({ metrics, step }) => ({ step, metrics: JSON.parse(String(metrics)) }))
      assert.deepStrictEqual((yield* after(-1, 100)).map(({ metrics, step }) => ({ step, metrics })), stored)
      assert.deepStrictEqual((yield* after(1, 2)).map(({ step }) => step), [2, 3])
      assert.deepStrictEqual(yield* after(steps, 100), [])
    }))

  it.live("has nothing to say of a run that has drawn nothing, and a sentence where the store is damaged", () =>
    Effect.gen(function*() {
      const empty = path.join(work, "empty")
      fs.mkdirSync(empty, { recursive: true })
      assert.deepStrictEqual(yield* use(({ rollouts }) => rollouts(empty, { limit: 10 })), [])
      assert.strictEqual((yield* use(({ extent }) => extent(empty))).steps, 0)
      fs.writeFileSync(path.join(empty, "run.db"), "no database at all".repeat(100))
      assert.match((yield* Effect.flip(use(({ counts }) => counts(empty)))).message, /run\.db cannot be read/)
    }))

  it.live("knows whether a process works on the run, and does not stand in its way", () =>
    Effect.scoped(Effect.gen(function*() {
      const isWorked = use((archive) => Effect.sync(() => archive.isWorked(run)))
      assert.isFalse(yield* isWorked)
      yield* lockRun(runFolder(run))
      assert.isTrue(yield* isWorked)
    })))
})
