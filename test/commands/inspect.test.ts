/** `vequinox inspect` on run folders that are whole, stopped, and damaged in every way it knows. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as bufferSqlite from "../../layers/buffer/sqlite.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import * as runStateSqlite from "../../layers/store/run-state.ts"
import { readDecidedPairs } from "../../layers/store/run-pairs.ts"
import { readRunRecords } from "../../layers/store/run-records.ts"
import type { Rollout } from "../../src/domain.ts"
import { lessonsOf } from "../../src/lessons/teach.ts"
import { defaultPipeline } from "../../src/steps/config.ts"
import { writeCheckpoint } from "../../src/run/checkpoints.ts"
import { writeFile } from "../../src/system/files.ts"
import { readPairRows } from "../../src/evaluation/pair-rows.ts"
import { openRunFolder } from "../../src/run/folder.ts"
import { folderHealth } from "../../src/run/health.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { RunState } from "../../src/stages/RunState.ts"
import { commandLine } from "../support/command-line.ts"
import { rollout } from "../stages/make.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

const line = (step: number, more: object = { "rewards/margins": step }) =>
  JSON.stringify({ step, policyVersion: step, loss: 0.7 - step / 10, "svg/valid": 0.5, ...more }) + "\n"
const damaged = (folder: string, name: string, change: (bytes: Buffer) => Buffer) =>
  fs.writeFileSync(path.join(folder, name), change(fs.readFileSync(path.join(folder, name))))

/** A run of two steps of five, with checkpoints after both. */
const makeRun = Effect.fnUntraced(function*(name: string, made: (step: number) => Rollout = rollout, last?: object) {
  const run = yield* openRunFolder(path.join(work, name), 0, new Date(0))
  yield* writeFile(run.file("config.json"), JSON.stringify({ max_steps: 5, judge: "test" }))
  fs.writeFileSync(run.file("metrics.jsonl"), line(0) + line(1, last))
  const parameters = new Map([["w", { shape: [2], data: Float32Array.of(1, 2) }]])
  for (const version of [1, 2]) {
    const state = { version, updates: version, parameters, moments: new Map() }
    yield* writeCheckpoint(run, { earlier: [], state }, undefined, { name: "base", revision: null })
  }
  yield* Effect.gen(function*() {
    const { put, take } = yield* PreferenceBuffer
    yield* put(made(0))
    yield* take(0)
    yield* put(made(1))
  }).pipe(Effect.provide(bufferSqlite.layer({ path: run.file("run.db"), maxStaleness: 0, staleWeight: 1 })))
  return run.path
})

describe("inspect", () => {
  it.live("tells how a stopped run is, for people and for machines, and exports its pairs", () =>
    Effect.gen(function*() {
      const run = yield* makeRun("stopped")
      const rows = path.join(work, "pairs.jsonl")
      const [plain, json] = yield* Effect.promise(() => Promise.all([vequinox({}, "inspect", run), vequinox({}, "inspect", run, "--json", "--export", rows)]))
      assert.deepStrictEqual([plain.code, json.code, plain.stderr], [0, 0, ""], json.stderr)
      assert.match(plain.stdout, /Steps: 2 of 5, judged by test\.\nLast step 1: loss 0\.6000, margin 1\.0000, accuracy unknown, drawings that render 50\.0 %/)
      assert.match(plain.stdout, /6 decided, 2 trained, 0 stale, 2 waiting/)
      assert.match(plain.stdout, /2 {2}killed: deadline \(2 s\)/)
      assert.match(plain.stdout, /0\.0020 USD/)
      assert.match(plain.stdout, /It can continue from checkpoints\/step-2: vequinox train --resume .*stopped\.\n$/)
      const health = JSON.parse(json.stdout)
      assert.deepStrictEqual(health.checkpoints, [{ name: "step-1", version: 1 }, { name: "step-2", version: 2 }])
      assert.deepStrictEqual([health.damage, health.finished, health.steps], [[], false, { done: 2, asked: 5 }])
      assert.deepStrictEqual(health.faults, [{ kind: "killed", reason: "deadline", count: 2, example: "2 s" }])
      const exported = fs.readFileSync(rows, "utf8").trim().split("\n").map((text) => JSON.parse(text))
      assert.deepStrictEqual(exported.map(({ chosen, step, trained_at_step, verdict }) => [step, verdict, chosen, trained_at_step]), [
        [0, "A", "a", 0],
        [0, "tie", null, null],
        [0, "B", "b", 0],
        [1, "A", "a", null],
        [1, "tie", null, null],
        [1, "B", "b", null]
      ])
      assert.strictEqual((yield* readPairRows(rows)).length, 6) // judge-pairs takes them as they are
    }), 180_000)

  it.live("writes a report of a run that was stopped, which says so; of one that has finished there is one", () =>
    Effect.gen(function*() {
      const run = yield* makeRun("reported")
      const report = (to: string) => Effect.promise(() => vequinox({}, "inspect", run, "--report", path.join(work, to)))
      assert.match((yield* report("early.html")).stderr, /has made no step yet, so there is nothing to report/)
      yield* Effect.flatMap(RunState, (state) =>
        Effect.forEach([0, 1], (step) =>
          state.report({ step, policyVersion: step, metrics: { loss: 0.7 - step / 10, "svg/valid": 0.5, "pairs/trained": 3, "svg/rejected/blank": 2, "seconds/step": 4 }, trust: [] }))).pipe(
            Effect.provide(runStateSqlite.layer.pipe(Layer.provide(RunDatabase.layer({ path: path.join(run, "run.db") }))))
          )
      const { code, stderr, stdout } = yield* report("page.html")
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.match(stdout, /Report of 2 steps: .*page\.html\n$/)
      const page = fs.readFileSync(path.join(work, "page.html"), "utf8")
      for (const part of ["<b>Interrupted.</b> The run has not finished", "2 steps, 6 preference pairs", "Rejected and killed", "<h3>Loss</h3>"]) assert.include(page, part)
      assert.notMatch(page, /NaN|undefined<|>Valid drawings</)
      fs.writeFileSync(path.join(run, "summary.json"), "{}")
      assert.match((yield* report("late.html")).stderr, /has finished: its report is .*report\.html/)
      assert.deepStrictEqual(["early.html", "late.html"].filter((name) => fs.existsSync(path.join(work, name))), [])
    }), 120_000)

  it.live("tells drawings with an advantage from pairs, and exports them", () =>
    Effect.gen(function*() {
      const options = { ...defaultPipeline, k: 3, lessons: "advantages" } as const
      const made = (step: number): Rollout => ({ ...rollout(step), lessons: lessonsOf(options, [rollout(step).pairs]) })
      const run = yield* makeRun("advantages", made, { "advantages/trained": 3, "advantages/abs": 1 / 3 })
      const rows = path.join(work, "advantages.jsonl")
      const { code, stderr, stdout } = yield* Effect.promise(() => vequinox({}, "inspect", run, "--export", rows))
      assert.strictEqual(code, 0, stderr)
      assert.match(stdout, /Last step 1: loss 0\.6000, 3 advantages of mean size 0\.3333, drawings that render 50\.0 %/)
      assert.match(stdout, /Pairs: 6 decided\. Drawings with an advantage: 3 trained, 0 stale, 3 waiting\./)
      const exported = fs.readFileSync(rows, "utf8").trim().split("\n").map((text) => JSON.parse(text))
      // 0 beats 1, 0 and 2 tie, 2 beats 1: rewards 3/4, 0, 3/4, mean 1/2.
      assert.deepStrictEqual(exported.slice(0, 3).map(({ a_advantage, b_advantage, chosen }) => [a_advantage, b_advantage, chosen]), [
        [0.25, -0.5, null],
        [0.25, 0.25, null],
        [-0.5, 0.25, null]
      ])
      assert.strictEqual((yield* readPairRows(rows)).length, 6)
    }), 180_000)

  it.live("reads a database from before advantages as it is", () =>
    Effect.gen(function*() {
      const file = path.join(work, "older.db")
      const db = new DatabaseSync(file)
      db.exec(fs.readFileSync(path.join(import.meta.dirname, "../golden/run-schema-2.sql"), "utf8"))
      db.close()
      const { advantages, preferences } = yield* readRunRecords(file)
      assert.deepStrictEqual([preferences, advantages], [{ trained: 2, stale: 0, waiting: 2 }, { trained: 0, stale: 0, waiting: 0 }])
      const pairs = yield* readDecidedPairs(file)
      assert.deepStrictEqual(pairs.map(({ a_advantage, chosen }) => [chosen, a_advantage]).slice(0, 3), [["a", null], [null, null], ["b", null]])
    }))

  it.live("names what is damaged and what is whole instead", () =>
    Effect.gen(function*() {
      const run = yield* makeRun("damaged")
      assert.deepStrictEqual((yield* folderHealth(run)).damage, [])
      damaged(run, "metrics.jsonl", (bytes) => Buffer.concat([bytes, bytes.subarray(0, 20)]))
      damaged(run, "checkpoints/step-2/model.safetensors", (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.of(1)]))
      fs.writeFileSync(path.join(run, "config.json"), "{")
      const { checkpoints, damage, steps } = yield* folderHealth(run)
      assert.deepStrictEqual(steps, { done: 2, asked: null })
      assert.deepStrictEqual(checkpoints.map(({ damage }) => damage === undefined), [true, false])
      assert.match(damage.join("\n"), /^config\.json is not JSON.*\nmetrics\.jsonl, line 3, was cut off.*\ncheckpoints\/step-2 is damaged.*; step-1 is whole\.$/)
      fs.rmSync(path.join(run, "checkpoints/step-1/optimizer.safetensors"))
      fs.writeFileSync(path.join(run, "metrics.jsonl"), line(0) + "oops\n" + line(1))
      assert.match((yield* folderHealth(run)).damage.join("\n"), /line 2, is not a step.*\ncheckpoints\/step-1.*no other is whole/)

      const database = path.join(run, "run.db")
      const healthy = fs.readFileSync(database)
      for (const name of ["-wal", "-shm"]) fs.rmSync(database + name, { force: true })
      fs.writeFileSync(database, "no database ".repeat(500))
      assert.match((yield* Effect.flip(readRunRecords(database))).message, /run\.db cannot be read: file is not a database/)
      const pages = Buffer.from(healthy)
      pages.fill(0x5a, 3 * 4096, 6 * 4096)
      fs.writeFileSync(database, pages)
      const seen = yield* Effect.result(readRunRecords(database))
      assert.isTrue(seen._tag === "Failure" || seen.success.damage.length > 0)
      const { code, stdout } = yield* Effect.promise(() => vequinox({}, "inspect", run))
      assert.strictEqual(code, 0)
      assert.match(stdout, /run\.db is damaged/)
      assert.match(stdout, /from the beginning: no checkpoint is whole: vequinox train --resume .*\n$/)
    }), 180_000)

  it.live("refuses in one sentence a folder that is not a run", () =>
    Effect.gen(function*() {
      fs.mkdirSync(path.join(work, "empty"))
      const [gone, empty] = yield* Effect.promise(() => Promise.all([vequinox({}, "inspect", "gone"), vequinox({}, "inspect", "empty")]))
      assert.deepStrictEqual([gone.code, empty.code], [1, 1])
      assert.strictEqual(gone.stderr, "vequinox: There is no folder gone: check the path.\n")
      assert.match(empty.stderr, /^vequinox: empty is not a run: .*\n$/)
    }), 180_000)
})
