/** What `--resume` takes and refuses, and what the run's database keeps between two processes. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { Answers } from "../../layers/guide/answers.ts"
import { Guide } from "../../layers/guide/guide.ts"
import { Ledger } from "../../src/stages/Ledger.ts"
import { rubric } from "../../layers/guide/question.ts"
import type { Transport } from "../../layers/guide/transport.ts"
import * as bufferSqlite from "../../layers/buffer/sqlite.ts"
import * as judgmentsSqlite from "../../layers/store/judgments.ts"
import * as ledgerSqlite from "../../layers/store/ledger.ts"
import * as killedDrawingsSqlite from "../../layers/store/killed-drawings.ts"
import * as rendererResvg from "../../layers/renderer/resvg.ts"
import { RunDatabase } from "../../layers/store/run-database.ts"
import * as runStateSqlite from "../../layers/store/run-state.ts"
import { type Facts, needFacts, needJudge, needRuns, openBegun, resumeCommand, resumedConfig } from "../../src/wiring/run/resume.ts"
import { resolveConfig, type SettingName } from "../../src/wiring/settings.ts"
import { runFolder } from "../../src/run/folder.ts"
import { Judgments } from "../../src/stages/Judgments.ts"
import { Renderer } from "../../src/stages/Renderer.ts"
import { runStoreContract } from "../stages/RunStore.contract.ts"
import { hostile } from "../layers/renderer/hostile.ts"
import { prompt, verdict } from "../stages/make.ts"
import { circle } from "../stages/Renderer.contract.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("resume")
let made = 0
const folder = () => fs.mkdtempSync(path.join(work, `${made++}-`))

describe("settings", () => {
  const facts: Facts = {
    model_sha256: "m", prompts_sha256: "p", machine: "here",
    versions: { vequinox: "1.2.3", node: "v24.1.0", onnxruntime: "1.30.0", resvg: "2.6.2" }
  }
  /** A run that began with these settings; `more` is what config.json has beside them. */
  const began = Effect.fnUntraced(function*(given: Partial<Record<SettingName, unknown>>, more: object = {}) {
    const at = folder()
    const c = yield* resolveConfig(undefined, given)
    fs.writeFileSync(path.join(at, "config.json"), JSON.stringify({ ...c, working_dir: work, judge_identity: "clip-1", ...facts, ...more }))
    return yield* openBegun(at)
  })
  const refused = Effect.fnUntraced(function*(given: Partial<Record<SettingName, unknown>>, then: Partial<Record<SettingName, unknown>> = {}) {
    return (yield* Effect.flip(resumedConfig(yield* began(then), undefined, given))).message
  })

  it.effect("are the run's own where none is given, those of another default too", () =>
    Effect.gen(function*() {
      const begun = yield* began({ beta: 0.3, max_steps: 9, lora_target_modules: ["q_proj"] })
      const c = yield* resumedConfig(begun, undefined, {})
      assert.deepInclude(c, { beta: 0.3, max_steps: 9, output_dir: begun.run.path })
      assert.deepStrictEqual(c.lora_target_modules, ["q_proj"])
    }))

  it.effect("that differ are refused, each named with what it was and is", () =>
    Effect.gen(function*() {
      const message = yield* refused({ beta: 0.2, learning_rate: 0.01, seed: 0, judge: "coin" })
      for (const said of [/--judge was "clip" and is "coin"/, /--learning-rate was 0\.001 and is 0\.01/, /--beta was 0\.1 and is 0\.2/]) assert.match(message, said)
      assert.notMatch(message, /--seed/)
    }))

  it.effect("that change no number may change, and more steps where the schedule does not look at them", () =>
    Effect.gen(function*() {
      const c = yield* resumedConfig(yield* began({}), undefined, { save_steps: 3, save_total_limit: 2, budget_usd: 9, judge_timeout: 5 })
      assert.deepInclude(c, { save_steps: 3, save_total_limit: 2, budget_usd: 9, judge_timeout: 5 })
      assert.match(yield* refused({ max_steps: 600 }), /--steps was 480 and is 600/)
      const constant = { lr_scheduler_type: "constant_with_warmup" }
      assert.match(yield* refused({ max_steps: 20 }, constant), /--steps was 480 and is 20/)
      assert.strictEqual((yield* resumedConfig(yield* began(constant), undefined, { max_steps: 600 })).max_steps, 600)
    }))

  it.effect("may be given as they were first, where the run took something else for them", () =>
    Effect.gen(function*() {
      const begun = yield* began({ tokens_per_run: 256, render_size: 64 }, { asked: { tokens_per_run: 1024, render_size: 0 } })
      const c = yield* resumedConfig(begun, undefined, { tokens_per_run: 1024, render_size: 0 })
      assert.deepInclude(c, { tokens_per_run: 256, render_size: 64 })
      assert.match((yield* Effect.flip(resumedConfig(begun, undefined, { tokens_per_run: 512 }))).message, /--tokens-per-run was 256 and is 512/)
    }))

  it.effect("that are paths are those of the folder in which the run began", () =>
    Effect.gen(function*() {
      fs.writeFileSync(path.join(work, "prompts.txt"), "a cat\n")
      const c = yield* resumedConfig(yield* began({ prompts: "prompts.txt" }), undefined, {})
      assert.strictEqual(c.prompts, path.join(work, "prompts.txt"))
    }))

  it.effect("a changed model, prompts, versions, judge, adapter or memory is refused by name", () =>
    Effect.gen(function*() {
      const begun = yield* began({}, { adapter_sha256: "a" })
      yield* needFacts(begun, { ...facts, adapter_sha256: "a", versions: { ...facts.versions, node: "v24.9.9" } })
      const { message } = yield* Effect.flip(needFacts(begun, {
        ...facts, adapter_sha256: "b", model_sha256: "x", prompts_sha256: "y",
        versions: { ...facts.versions, onnxruntime: "1.31.0", node: "v26.0.0" }
      }))
      for (const said of [/the model \(its weights.*\) changed/, /the prompts changed/, /the adapter .* changed/, /onnxruntime was 1\.30\.0 and is 1\.31\.0/, /Node was v24\.1\.0 and is v26\.0\.0/]) {
        assert.match(message, said)
      }
      assert.notMatch(message, /resvg|vequinox was/)
      yield* needJudge(begun, "clip-1")
      assert.match((yield* Effect.flip(needJudge(begun, "clip-2"))).message, /the judge was clip-1 and is clip-2/)
      const runs = { tokens_per_run: 256, gradient_checkpointing: false }
      assert.match((yield* Effect.flip(needRuns(begun, runs, { ...runs, tokens_per_run: 128 }))).message, /runs of 256 tokens, and there is not enough memory for them/)
    }))

  it.effect("of no run, or of one that is damaged, are said to be that", () =>
    Effect.gen(function*() {
      assert.match((yield* Effect.flip(openBegun(path.join(work, "nowhere")))).message, /nowhere holds no run that has begun/)
      const at = folder()
      fs.writeFileSync(path.join(at, "config.json"), "{\"seed\": 1")
      assert.match((yield* Effect.flip(openBegun(at))).message, /config\.json is damaged/)
      fs.writeFileSync(path.join(at, "config.json"), "{\"seed\": 1}")
      assert.match((yield* Effect.flip(openBegun(at))).message, /begun by a vequinox that could not resume/)
    }))

  it("the command to resume survives a shell", () => {
    assert.strictEqual(resumeCommand(runFolder(path.resolve("runs/x"))), "vequinox train --resume runs/x")
    assert.strictEqual(resumeCommand(runFolder("/my runs/it's")), "vequinox train --resume '/my runs/it'\\''s'")
  })
})

runStoreContract("sqlite", () => {
  const path = `${folder()}/run.db`
  const buffer = bufferSqlite.layerIn({ maxStaleness: 0, staleWeight: 1 })
  return Layer.mergeAll(judgmentsSqlite.layer, ledgerSqlite.layer, killedDrawingsSqlite.layer, runStateSqlite.layer, buffer).pipe(
    Layer.provide(RunDatabase.layer({ path }))
  )
})

describe("the run's database", () => {
  const database = () => path.join(folder(), "run.db")
  /** As a process of its own. */
  const process = <A, E, R>(file: string, work: Effect.Effect<A, E, R>) =>
    work.pipe(
      Effect.provide(
        judgmentsSqlite.layer.pipe(Layer.provideMerge(RunDatabase.layer({ path: file })))
      )
    )
  const asked = { step: 2, prompt: prompt("a cat"), judge: "j-1", shown: [[0, "x"], [3, "y"]], bare: false } as const
  const given = [verdict()]

  it.live("stops the judge where a judgment cannot be kept", () =>
    Effect.gen(function*() {
      const file = database()
      const once = Effect.flatMap(Judgments, (judgments) => judgments.once(asked, Effect.succeed(given)))
      yield* process(file, once)
      fs.chmodSync(file, 0o444)
      const full = Effect.flatMap(RunDatabase, ({ read }) => read((db) => db.exec("PRAGMA max_page_count = 1")))
      const long = [verdict({ reason: "x".repeat(1e6) })]
      const error = yield* process(file, Effect.andThen(full, Effect.flatMap(Judgments, (judgments) => judgments.once({ ...asked, step: 9 }, Effect.succeed(long))))).pipe(Effect.flip)
      assert.strictEqual(error._tag, "JudgeStopped")
      assert.match(error.message, /run\.db cannot grow: the disk is full/)
    }))

  it.live("knows of a paid call before it is sent, and calls it ended only once its answer is kept", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const event = <A>(name: string, value: A) => Effect.sync(() => {
        events.push(name)
        return value
      })
      const transport: Transport = {
        where: "a test",
        send: ({ once }) => event(`sent ${once.length}`, { text: "{\"x\":1}", use: { inputTokens: 1, outputTokens: 1 }, headers: {} })
      }
      const keepers = Layer.mergeAll(
        Layer.mock(Answers, { get: () => Effect.sync(() => undefined), put: () => event("kept", undefined), batches: undefined as never }),
        Layer.succeed(Ledger, { spentBefore: Effect.succeed(0), excessBefore: Effect.succeed(1), asked: () => event("asked", 7), ended: (call) => event(`ended ${call}`, undefined) })
      )
      yield* Effect.gen(function*() {
        const guide = yield* Guide
        yield* guide.ask(guide.question(rubric({ system: "", answer: Schema.Struct({ x: Schema.Int }), maxTokens: 9 }), [{ text: "?" }]))
      }).pipe(Effect.provide(Guide.layer(transport, { model: "m", price: { input: 1, output: 1 } }).pipe(Layer.provide(keepers))))
      assert.deepStrictEqual(events, ["asked", "sent 64", "kept", "ended 7"])
    }))

  it.live("keeps which drawings killed the renderer, however they would fare now", () =>
    Effect.gen(function*() {
      const file = database()
      const render = (svg: string, deadline: number) => {
        const resvg = rendererResvg.layer({ processes: 1, size: 16, gate: false, deadline, patience: 60 })
        const renders = resvg.pipe(Layer.provide(killedDrawingsSqlite.layer))
        return process(file, Effect.flatMap(Renderer, (renderer) => renderer.render(svg)).pipe(Effect.provide(renders)))
      }
      const killed = yield* render(hostile["turbulence without end"]!, 0.3)
      assert.strictEqual(killed._tag === "Killed" ? killed.reason : killed._tag, "deadline")
      assert.deepStrictEqual(yield* render(hostile["turbulence without end"]!, 60), killed) // it is not tried: it would take a minute
      assert.strictEqual((yield* render(circle(20), 60))._tag, "Rendered")
    }))
})
