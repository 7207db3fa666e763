/**
 * What must hold of RunState, Judgments, Ledger and KilledDrawings wherever they are stored. `fresh` makes an empty store each time: a layer that
 * is built anew for each process of one run.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Verdict } from "../../src/domain.ts"
import { Judgments } from "../../src/stages/Judgments.ts"
import { KilledDrawings } from "../../src/stages/KilledDrawings.ts"
import { Ledger } from "../../src/stages/Ledger.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { RunState, type StoredPreference } from "../../src/stages/RunState.ts"
import { storedPreference } from "../../src/run/folder.ts"
import { isPreference } from "../../src/domain.ts"
import { candidate, prompt, rollout, verdict } from "./make.ts"

const asked = { step: 2, prompt: prompt("a cat"), judge: "j-1", shown: [[0, "x"], [3, "y"]], bare: false } as const
const odd = "because \"it\" is \0 \uE000 \u{1F408}"
const given = [verdict({ scores: [1 / 3, 2e-300], reason: odd, costUsd: 0.1 + 0.2, places: ["first", "tie"] })]
const report = (step: number) => ({ step, policyVersion: step, metrics: { loss: 1 / 3, "svg/valid": step }, trust: [{ scorer: "s", pairs: 6, tau: -1 / 3 }] })

export const runStoreContract = <E>(name: string, fresh: () => Layer.Layer<RunState | KilledDrawings | PreferenceBuffer, E>) =>
  describe(`a run's store: ${name}`, () => {
    /** Does each of the works as a process of its own. */
    const processes = () => {
      const store = fresh()
      return <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.provide(work, Layer.fresh(store))
    }

    it.live("has a judgment before it is used, and then nobody is asked again", () =>
      Effect.gen(function*() {
        const process = processes()
        let asks = 0
        const ask = Effect.sync((): ReadonlyArray<Verdict> => {
          asks++
          return given
        })
        const once = (of: object = {}) => Effect.flatMap(Judgments, (judgments) => judgments.once({ ...asked, ...of }, ask))
        assert.deepStrictEqual(yield* process(once()), given)
        assert.deepStrictEqual(yield* process(once()), given)
        assert.strictEqual(asks, 1)
        for (const other of [{ step: 3 }, { judge: "j-2" }, { bare: true }, { shown: [[0, "x"], [3, "z"]] }, { shown: [[0, "x"], [2, "y"]] }, { prompt: prompt("a dog") }]) {
          yield* process(once(other))
        }
        assert.strictEqual(asks, 7)
      }))

    it.live("forgets failed judgments of later steps, and no others", () =>
      Effect.gen(function*() {
        const process = processes()
        const outcome = (step: number, n: number, outcome: Verdict["outcome"]) =>
          Effect.flatMap(Judgments, ({ once }) => once({ ...asked, step, shown: [[0, "x"], [n, "y"]] }, Effect.succeed([verdict({ outcome })])))
        yield* process(Effect.all([outcome(3, 1, "failed"), outcome(4, 1, "failed"), outcome(4, 2, "A")]))
        yield* process(Effect.flatMap(RunState, ({ forgetFailures }) => forgetFailures(4)))
        const again = yield* process(Effect.all([outcome(3, 1, "B"), outcome(4, 1, "B"), outcome(4, 2, "B")]))
        assert.deepStrictEqual(again.map(([first]) => first!.outcome), ["failed", "B", "A"])
      }))

    it.live("keeps what was spent; a call whose process died is in doubt, at its worst price", () =>
      Effect.gen(function*() {
        const process = processes()
        assert.isUndefined(yield* process(Effect.flatMap(RunState, ({ costUsd }) => costUsd)))
        yield* process(Effect.gen(function*() {
          const ledger = yield* Ledger
          const [first] = [yield* ledger.asked("q1", 900), yield* ledger.asked("q2", 5e9)]
          yield* ledger.ended(first!, 70)
        }))
        assert.strictEqual(yield* process(Effect.flatMap(Ledger, ({ excessBefore }) => excessBefore)), 1)
        const { faults, spent, usd } = yield* process(Effect.gen(function*() {
          const state = yield* RunState
          yield* state.rewind(0)
          return { faults: yield* state.faults, spent: yield* (yield* Ledger).spentBefore, usd: yield* state.costUsd }
        }))
        assert.deepStrictEqual([faults, spent, usd], [{ "judge/in_doubt": 1 }, 5_000_000_070, 5.00000007])
      }))

    it.live("keeps by how much more than their estimates calls were charged", () =>
      Effect.gen(function*() {
        const process = processes()
        for (const [cost, rate] of [[50, 0.5], [250, 2.5], [130, 1.3]] as const) {
          yield* process(Effect.gen(function*() {
            const ledger = yield* Ledger
            yield* ledger.ended(yield* ledger.asked("q", 100), cost, rate)
          }))
        }
        const { excess, spent } = yield* process(Effect.gen(function*() {
          const ledger = yield* Ledger
          return { excess: yield* ledger.excessBefore, spent: yield* ledger.spentBefore }
        }))
        assert.deepStrictEqual([excess, spent], [2.5, 430])
      }))

    it.live("keeps which drawings killed the renderer", () =>
      Effect.gen(function*() {
        const process = processes()
        const killed = { _tag: "Killed", reason: "deadline", detail: odd } as const
        yield* process(Effect.flatMap(KilledDrawings, ({ record }) => Effect.andThen(record("h", killed), record("h", { ...killed, detail: "again" }))))
        const recalled = yield* process(Effect.flatMap(KilledDrawings, ({ recall }) => Effect.all([recall("h"), recall("i")])))
        assert.deepStrictEqual(recalled, [killed, undefined])
      }))

    it.live("goes back to a checkpoint: what came after is forgotten, and what it trained is trained again", () =>
      Effect.gen(function*() {
        const process = processes()
        const step = (n: number) =>
          Effect.gen(function*() {
            const state = yield* RunState
            const buffer = yield* PreferenceBuffer
            yield* buffer.put(rollout(n))
            const { lessons } = yield* buffer.take(n)
            yield* state.report(report(n))
            yield* state.commit({ step: n + 1, sha256: `hash ${n + 1}`, seconds: n / 3 }, n === 2 ? [1] : [])
            return lessons
          })
        const lessons = yield* process(Effect.forEach([0, 1, 2], step))
        const told = yield* process(Effect.gen(function*() {
          const state = yield* RunState
          const preferences: Array<StoredPreference> = []
          yield* state.eachPreference((preference) => void preferences.push({ ...preference }))
          return { checkpoints: yield* state.checkpoints, preferences, reports: yield* state.reports }
        }))
        assert.deepStrictEqual(told.checkpoints, [{ step: 3, sha256: "hash 3", seconds: 2 / 3 }, { step: 2, sha256: "hash 2", seconds: 1 / 3 }])
        assert.deepStrictEqual(told.preferences, lessons.flat().filter(isPreference).map(storedPreference))
        assert.deepStrictEqual(told.reports, [0, 1, 2].map(report))

        yield* process(Effect.gen(function*() {
          const state = yield* RunState
          yield* state.rewind(2)
          assert.deepStrictEqual((yield* state.checkpoints).map(({ step }) => step), [2])
          assert.deepStrictEqual(yield* state.reports, [0, 1].map(report))
          assert.deepStrictEqual(yield* (yield* PreferenceBuffer).take(2), { lessons: [], stale: 0 }) // its rollout is gone
        }))
        assert.deepStrictEqual(yield* process(step(2)), lessons[2])
      }))

    it.live("has what was drawn before a step, newest first, the same after a rollout was made again", () =>
      Effect.gen(function*() {
        const process = processes()
        const drawn = (step: number, index: number) => [step, index, ...Array.from({ length: 4 }, () => 7)]
        const put = (step: number) =>
          Effect.flatMap(PreferenceBuffer, ({ put }) => {
            const { drawings, ...rest } = rollout(step)
            const told = drawings.map(({ candidate: c, rendering }) =>
              ({ candidate: candidate({ ...c, completionIds: drawn(step, c.index) }), rendering }))
            return put({ ...rest, drawings: told })
          })
        const before = (step: number, tokens: number) =>
          process(Effect.flatMap(RunState, ({ completionsBefore }) => completionsBefore(step, tokens)))
        assert.deepStrictEqual(yield* before(3, 100), [])
        yield* process(Effect.forEach([0, 1, 2, 3], put))
        const all = [2, 1, 0].flatMap((step) => [0, 1, 2].map((index) => drawn(step, index)))
        assert.deepStrictEqual(yield* before(3, 1000), all)
        assert.deepStrictEqual(yield* before(3, 25), all.slice(0, 5))
        assert.deepStrictEqual(yield* before(0, 1000), [])
        yield* process(Effect.andThen(Effect.flatMap(RunState, ({ rewind }) => rewind(1)), Effect.forEach([1, 2], put)))
        assert.deepStrictEqual(yield* before(3, 1000), all)
      }))

    it.live("counts faults, and knows that it has finished", () =>
      Effect.gen(function*() {
        const process = processes()
        yield* process(Effect.flatMap(RunState, ({ count }) => Effect.all([count("run/resumed"), count("checkpoint/refused"), count("run/resumed")])))
        const state = yield* process(Effect.gen(function*() {
          const { faults, finish, finished } = yield* RunState
          const before = yield* finished
          yield* finish(3)
          yield* finish(7)
          return { before, faults: yield* faults, finished: yield* finished }
        }))
        assert.deepStrictEqual(state, { before: undefined, faults: { "checkpoint/refused": 1, "run/resumed": 2 }, finished: 7 })
      }))
  })
