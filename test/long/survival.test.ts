/** A run that is killed, damaged or refused its disk goes on to the same end: its sweep in full is test/survival/sweep.ts, real runs are in soak.test.ts. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, beforeAll, describe, it } from "vitest"
import { Effect, Layer } from "effect"
import { newestGood, pruned } from "../../src/run/checkpoints.ts"
import { random } from "../../src/engine/random.ts"
import { runFolder } from "../../src/run/folder.ts"
import { radius } from "../../layers/sampler/fake.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import { lockRun } from "../../layers/store/run-lock.ts"
import * as runStateSqlite from "../../layers/store/run-state.ts"
import { RunState } from "../../src/stages/RunState.ts"
import { drive, type Driven, type How, steps } from "../survival/drive.ts"
import { hasStrace, type Point, sweep, trace } from "../survival/sweep.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("survival")

const made = (name: string): string => {
  fs.mkdirSync(path.join(work, name))
  return path.join(work, name)
}
const go = (folder: string, saveTotalLimit?: number, how?: How): Promise<Driven> => Effect.runPromise(drive(folder, saveTotalLimit, how))
const stateIn = (file: string) => runStateSqlite.layer.pipe(Layer.provide(RunDatabase.layer({ path: file })))
const copy = (from: string, name: string): string => {
  fs.cpSync(from, path.join(work, name), { recursive: true })
  return path.join(work, name)
}

describe("checkpoints", () => {
  let whole: { readonly folder: string; readonly result: string }
  beforeAll(async () => {
    const folder = made("whole")
    whole = { folder, result: (await go(folder, 0)).result }
  })
  const filesOf = (folder: string, step: number) =>
    fs.readdirSync(path.join(folder, `checkpoints/step-${step}`)).map((name) => path.join(folder, `checkpoints/step-${step}`, name))
  const found = (folder: string) =>
    Effect.runPromise(
      Effect.flatMap(RunState, ({ checkpoints }) => Effect.flatMap(checkpoints, (all) => newestGood(runFolder(folder), all, undefined, [radius]))).pipe(
        Effect.provide(stateIn(path.join(folder, "run.db")))
      )
    )

  it("a run that has ended and is gone on with stays as it is", async () => {
    const again = await go(copy(whole.folder, "again"), 0)
    assert.deepStrictEqual(again, { result: whole.result, from: steps, refused: [] })
  })

  it("that were truncated or flipped anywhere are refused, and the one before is taken", async () => {
    const folder = copy(whole.folder, "damaged")
    const draw = random(11)
    for (const file of filesOf(folder, 3)) {
      const good = fs.readFileSync(file)
      for (const damage of ["flip", "flip", "truncate", "remove"] as const) {
        const at = Math.floor(draw() * good.length)
        if (damage === "remove") fs.rmSync(file)
        else fs.writeFileSync(file, damage === "truncate" ? good.subarray(0, at) : good.map((byte, i) => (i === at ? byte ^ (1 << Math.floor(draw() * 8)) : byte)))
        const { found: taken, refused } = await found(folder)
        assert.strictEqual(taken?.step, 2, `${damage} ${file} at ${at}`)
        assert.match(refused.join(), damage === "remove" ? /step-3 has no / : /step-3 is damaged: .* is not as it was written/)
        fs.writeFileSync(file, good)
      }
    }
    assert.strictEqual((await found(folder)).found?.step, 3)
  })

  it("are made again from the one before, down to the beginning, to the same result", async () => {
    for (const [name, broken] of [["one", [3]], ["two", [3, 2]], ["all", [3, 2, 1]]] as const) {
      const folder = copy(whole.folder, `broken-${name}`)
      for (const step of broken) fs.truncateSync(path.join(folder, `checkpoints/step-${step}/model.safetensors`), 40)
      const { from, refused, result } = await go(folder, 0)
      assert.deepStrictEqual([from, refused.length], [steps - broken.length, broken.length])
      assert.strictEqual(result, whole.result)
    }
  })

  it("of a run that learns from advantages lead to the same result too, and nothing in its folder speaks of pairs", async () => {
    const folder = made("advantages")
    const { result } = await go(folder, 0, { lessons: "advantages" })
    for (const broken of [[3], [3, 2], [3, 2, 1]]) {
      const again = copy(folder, `advantages-${broken.length}`)
      for (const step of broken) fs.truncateSync(path.join(again, `checkpoints/step-${step}/model.safetensors`), 40)
      assert.deepStrictEqual(await go(again, 0, { lessons: "advantages" }).then(({ from, result }) => ({ from, result })), { from: steps - broken.length, result })
    }
    assert.notStrictEqual(result, whole.result)
    assert.strictEqual(fs.readFileSync(path.join(folder, "preferences.jsonl"), "utf8"), "")
    const { advantages, objective, pairs } = JSON.parse(fs.readFileSync(path.join(folder, "summary.json"), "utf8"))
    const db = new DatabaseSync(path.join(folder, "run.db"), { readOnly: true })
    const trained = db.prepare("SELECT count(*) AS n FROM lessons WHERE consumed_by_step IS NOT NULL").get()!["n"]
    db.close()
    assert.deepStrictEqual([objective, pairs, advantages], ["reinforce", 0, trained])
    assert.isAbove(advantages, 0)
  })

  it("at which the prompts of a curriculum widen lead to the same result too", async () => {
    const folder = made("curriculum")
    const { result } = await go(folder, 0, { curriculum: true })
    const stages = fs.readFileSync(path.join(folder, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line)["curriculum/stage"])
    assert.deepStrictEqual(stages, [1, 2, 3])
    for (const broken of [[3], [3, 2], [3, 2, 1]]) {
      const again = copy(folder, `curriculum-${broken.length}`)
      for (const step of broken) fs.truncateSync(path.join(again, `checkpoints/step-${step}/model.safetensors`), 40)
      assert.deepStrictEqual(await go(again, 0, { curriculum: true }).then(({ from, result }) => ({ from, result })), { from: steps - broken.length, result })
    }
  })

  it("are pruned but for the newest two", () => {
    const known = [5, 4, 3, 2] // beside a new one
    assert.deepStrictEqual([0, 1, 2, 3, 9].map((limit) => pruned(known, limit)), [[], [4, 3, 2], [4, 3, 2], [3, 2], []])
    assert.deepStrictEqual(fs.readdirSync(path.join(whole.folder, "checkpoints")).sort(), ["step-1", "step-2", "step-3"])
  })
})

describe("the folder of a run", () => {
  it("has one process at a time; its database stays readable", async () => {
    const run = runFolder(made("locked"))
    await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      yield* lockRun(run)
      const { message } = yield* Effect.flip(lockRun(run))
      assert.match(message, /Another process is working in .*locked: wait until it has ended/)
    })))
    await Effect.runPromise(Effect.scoped(lockRun(run))) // and it is free again
  })

  it("of an older version is brought up to date, of a newer one refused", async () => {
    const folder = made("versions")
    const file = path.join(folder, "run.db")
    const use = Effect.flatMap(RunState, ({ checkpoints }) => checkpoints).pipe(
      Effect.provide(stateIn(file))
    )
    await Effect.runPromise(use)
    const change = (sql: string) => {
      const db = new DatabaseSync(file)
      db.exec(sql)
      db.close()
    }
    change("DROP INDEX candidates_told; DROP INDEX verdicts_told; DROP VIEW preferences; DROP TABLE lessons; CREATE TABLE preferences (id, step, prompt_id, chosen, rejected, label, weight, consumed_by_step, dropped_at_step); DROP TABLE judgments; DROP TABLE calls; DROP TABLE killed; DROP TABLE reports; DROP TABLE checkpoints; DROP TABLE faults; UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    assert.deepStrictEqual(await Effect.runPromise(use), [])
    change("UPDATE meta SET value = '6' WHERE key = 'schema_version'")
    const error = await Effect.runPromise(Effect.flip(use))
    assert.match(error.message, /written by a newer vequinox \(schema 6, this one knows 5\): update vequinox/)
  })
})

describe.skipIf(!hasStrace())("struck at a system call", () => {
  let points: ReadonlyArray<Point>
  beforeAll(() => {
    points = trace(path.join(work, "traced"))
  })
  const of = (kind: string, pattern: RegExp) => points.filter((point) => point.kind === kind && pattern.test(point.call))

  it("every file of a checkpoint is synced, then its folder, before it gets its name, and that before the commit", () => {
    const calls = points.map(({ call, kind }) => ({ call, kind }))
    const renamed = calls.findIndex(({ call, kind }) => kind === "rename" && call.includes("step-1\""))
    const part = /checkpoints\/step-1\.part-\w+/.exec(calls[renamed]!.call)![0]
    const before = calls.slice(0, renamed)
    const written = before.filter(({ call, kind }) => kind === "write" && call.includes(part)).map(({ call }) => /<([^>]*)>/.exec(call)![1])
    assert.isAtLeast(written.length, 4)
    for (const file of written) assert.isTrue(before.some(({ call, kind }) => kind === "fsync" && call.includes(`<${file}>`)), file)
    assert.isTrue(before.some(({ call, kind }) => kind === "fsync" && call.includes(`${part}>`)))
    const after = calls.slice(renamed)
    const named = after.findIndex(({ call, kind }) => kind === "fsync" && call.includes("/checkpoints>"))
    const committed = after.findIndex(({ call, kind }) => /^f(data)?sync$/.test(kind) && call.includes("/run.db-wal>"))
    assert.isAtLeast(named, 0)
    assert.isAbove(committed, named)
  })

  it("stopped by SIGKILL, EIO or ENOSPC, a run reaches the same end", async () => {
    const renamed = of("rename", /step-2"/)[0]!
    const commits = points.filter(({ call, kind }) => /^f(data)?sync$/.test(kind) && call.includes("/run.db-wal>"))
    const hit = [renamed, of("fsync", /step-2\.part/)[1]!, commits[Math.floor(commits.length / 2)]!]
    assert.deepStrictEqual((await sweep(made("kill"), hit, "kill")).wrong, [])
    const refused = await sweep(made("EIO"), [renamed], "EIO")
    const full = await sweep(made("ENOSPC"), [of("write", /step-2\.part/)[0]!], "ENOSPC")
    assert.deepStrictEqual([...refused.wrong, ...full.wrong], [])
    assert.deepStrictEqual([refused.said, full.said], [1, 1])
    assert.deepStrictEqual((await sweep(made("advantages-kill"), [commits.at(-2)!], "kill", "advantages")).wrong, [])
    const { struck, wrong } = await sweep(made("curriculum-kill"), [renamed, commits.at(-2)!], "kill", "curriculum")
    assert.deepStrictEqual([struck, wrong], [2, []])
  })

  it("a checkpoint that is committed before it is there would be caught", async () => {
    const { wrong } = await sweep(made("mutant"), of("rename", /step-2"/), "kill", "late-rename")
    assert.match(wrong.join(), /step-2 has no state\.json/)
  })
})
