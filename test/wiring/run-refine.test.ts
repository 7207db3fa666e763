/** A refinement that is stopped goes on to the same records, byte for byte; a folder of anything else stays as it is. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { vi } from "vitest"
import { promptOf } from "../../src/prompts.ts"
import { draftStep } from "../../src/refine/loop.ts"
import { marker, type RefineRun, resultFile, runRefine } from "../../src/wiring/roles/run-refine.ts"
import { type Asked, critic, judge, type JudgeOptions, options, renderer, sampler } from "../refine/hands.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("refine")
const folder = (): string => path.join(fs.mkdtempSync(path.join(work, "run-")), "out")

/** More than go through a round together. */
const prompts = Array.from({ length: 70 }, (_, n) => promptOf(`a plum in ${n} parts`))
const names = prompts.map((_, n) => `plum-${n}`)

const run = (out: string, o: { readonly judge?: JudgeOptions; readonly asked?: Array<Asked>; readonly criticSeed?: number } & Partial<RefineRun> = {}) => {
  const { asked = [], criticSeed = 3, judge: judgeOptions, ...more } = o
  return runRefine({ out, prompts, names, options, beside: true, facts: { weights: "a" }, style: "none", ...more }).pipe(
    Effect.provide(Layer.mergeAll(sampler({ asked }), critic({ seed: criticSeed }), judge(judgeOptions), renderer))
  )
}
const refusal = (out: string, o: Parameters<typeof run>[1] = {}) => Effect.map(Effect.flip(run(out, o)), ({ message }) => message)
const recordsIn = (out: string): string => fs.readFileSync(path.join(out, "records.jsonl"), "utf8")
const contents = (out: string) => Object.fromEntries(fs.readdirSync(out).toSorted().map((name) => [name, fs.readFileSync(path.join(out, name), "utf8")]))
const drafted = (asked: ReadonlyArray<Asked>) => new Set(asked.filter(({ step }) => step === draftStep).map(({ prompt }) => prompt.id))

describe("a refinement that is stopped", () => {
  it.effect("goes on: what is finished is not drawn again, and the records are those of one that was not stopped", () =>
    Effect.gen(function*() {
      const whole = folder()
      const judged: Array<string> = []
      const all = yield* run(whole, { judge: { asked: judged } })
      assert.deepStrictEqual(all.records.map(({ id }) => id), names)
      assert.isAbove(all.records.filter(({ best }) => best > 0).length, 10)
      for (const share of [0.05, 0.5, 0.7, 0.97]) {
        const out = folder()
        assert.strictEqual(yield* refusal(out, { judge: { answers: Math.floor(share * judged.length) } }), "The budget is spent.")
        const before = recordsIn(out)
        assert.isTrue(recordsIn(whole).startsWith(before))
        const done = before.split("\n").length - 1
        assert.strictEqual(done, share < 0.4 ? 0 : share < 0.9 ? 32 : 64, String(share))
        const asked: Array<Asked> = []
        const { key, records } = yield* run(out, { asked })
        assert.strictEqual(recordsIn(out), recordsIn(whole))
        assert.deepStrictEqual(JSON.stringify(records), JSON.stringify(all.records))
        assert.strictEqual(key, all.key)
        assert.deepStrictEqual(drafted(asked), new Set(prompts.slice(done).map(({ id }) => id)))
      }
    }))

  it.effect("anywhere: between two lines, and in one, whose rest is dropped", () =>
    Effect.gen(function*() {
      const whole = folder()
      yield* run(whole)
      const bytes = Buffer.from(recordsIn(whole))
      for (const share of [0, 0.2, 0.8]) {
        for (const torn of [0, 1, 40]) {
          const out = folder()
          yield* Effect.ignore(run(out, { judge: { answers: 0 } }))
          const at = bytes.indexOf("\n", Math.floor(share * bytes.length)) + 1 + torn
          fs.writeFileSync(path.join(out, "records.jsonl"), bytes.subarray(0, at))
          const asked: Array<Asked> = []
          yield* run(out, { asked })
          assert.strictEqual(recordsIn(out), recordsIn(whole))
          const done = bytes.subarray(0, at).toString().split("\n").length - 1
          assert.deepStrictEqual(drafted(asked), new Set(prompts.slice(done).map(({ id }) => id)))
        }
      }
    }))

  it.effect("asks nobody once it is finished", () =>
    Effect.gen(function*() {
      const out = folder()
      const first = yield* run(out)
      const before = contents(out)
      const [asked, judged]: [Array<Asked>, Array<string>] = [[], []]
      const second = yield* run(out, { asked, judge: { asked: judged } })
      assert.deepStrictEqual([asked, judged], [[], []])
      assert.deepStrictEqual(JSON.stringify(second.records), JSON.stringify(first.records))
      assert.deepStrictEqual(contents(out), before)
    }))

  it.effect("says how far it came and how to go on", () =>
    Effect.gen(function*() {
      const out = folder()
      const counted: Array<string> = []
      yield* run(folder(), { judge: { asked: counted } })
      const write = vi.spyOn(process.stderr, "write").mockReturnValue(true)
      yield* Effect.ignore(run(out, { judge: { answers: Math.floor(counted.length / 2) }, style: "plain" }))
      yield* Effect.ignore(run(out, { judge: { answers: 0 }, style: "plain" }))
      const said = write.mock.calls.map(([text]) => String(text)).join("")
      write.mockRestore()
      assert.include(said, "Stopped after 32 of 70 prompts: the same command goes on")
      assert.include(said, "32 of 70 prompts are already refined.")
    }))
})

describe("a judge that costs money", () => {
  it.effect("is not asked to choose among as many drawings as the same tokens give", () =>
    Effect.gen(function*() {
      const [paid, free]: [Array<string>, Array<string>] = [[], []]
      const few = { prompts: prompts.slice(0, 8), names: names.slice(0, 8) }
      const { records } = yield* run(folder(), { ...few, judge: { free: false, asked: paid } })
      assert.deepStrictEqual(records.map(({ beside }) => beside), few.names.map(() => null))
      const rivals = yield* run(folder(), { ...few, judge: { asked: free } })
      assert.isTrue(rivals.records.every(({ beside }) => beside !== null))
      assert.isBelow(paid.length, free.length)
      assert.deepStrictEqual(rivals.records.map((record) => ({ ...record, beside: null })), records)
    }))
})

describe("a folder", () => {
  const few: Partial<RefineRun> = { prompts: prompts.slice(0, 3), names: names.slice(0, 3) }

  it.effect("of other options, models, prompts, names, judge or critic is refused, in one sentence, and stays as it is", () =>
    Effect.gen(function*() {
      const out = folder()
      yield* run(out, few)
      const before = contents(out)
      const others: ReadonlyArray<Parameters<typeof run>[1]> = [
        { options: { ...options, seed: 1 } },
        { options: { ...options, rounds: 5 } },
        { options: { ...options, correctionTemperature: 0.2 } },
        { options: { ...options, promptTemplate: "Draw {prompt}" } },
        { beside: false },
        { facts: { weights: "b" } },
        { prompts: prompts.slice(1, 4) },
        { prompts: prompts.slice(0, 2), names: names.slice(0, 2) },
        { names: ["x", "y", "z"] },
        { judge: { seed: 1 } },
        { criticSeed: 4 }
      ]
      for (const other of others) {
        assert.strictEqual(
          yield* refusal(out, { ...few, ...other }),
          `${out} has a refinement with other prompts, models or settings: choose another --out, or ask as before to go on.`
        )
        assert.deepStrictEqual(contents(out), before)
      }
    }))

  it.effect("of something else is refused and stays as it is", () =>
    Effect.gen(function*() {
      for (const [name, text] of [["mine.txt", "mine"], [resultFile, "{\"mine\": 1}"], [resultFile, ""], ["records.jsonl", ""]] as const) {
        const out = folder()
        fs.mkdirSync(out)
        fs.writeFileSync(path.join(out, name), text)
        assert.strictEqual(yield* refusal(out, few), `${out} exists and is not an empty folder: choose another with --out.`)
        assert.deepStrictEqual(contents(out), { [name]: text })
      }
    }))

  it.effect("that is empty is filled, and says at once whose it is", () =>
    Effect.gen(function*() {
      const out = folder()
      fs.mkdirSync(out)
      yield* Effect.ignore(run(out, { ...few, judge: { answers: 0 } }))
      const { [marker]: key, finished } = JSON.parse(fs.readFileSync(path.join(out, resultFile), "utf8"))
      assert.match(key, /^[0-9a-f]{64}$/)
      assert.isFalse(finished)
    }))

  it.effect("with a line that is no record, or another prompt's, or one too many, is refused and stays as it is", () =>
    Effect.gen(function*() {
      const out = folder()
      yield* run(out, few)
      const file = path.join(out, "records.jsonl")
      const good = recordsIn(out)
      const [one, two, three] = good.trimEnd().split("\n") as [string, string, string]
      const cases = [
        [`${one}\nno record\n${three}\n`, `${file}, line 2, is not a refined prompt: choose another --out.`],
        [`${one}\n\n${three}\n`, `${file}, line 2, is not a refined prompt: choose another --out.`],
        [`${two}\n`, `${file}, line 1, is of another prompt: choose another --out.`],
        [`${one}\n${two.replace("2 parts", "9 parts").replace("1 parts", "9 parts")}\n`, `${file}, line 2, is of another prompt: choose another --out.`],
        [`${good}${three}\n`, `${file}, line 4, is of another prompt: choose another --out.`]
      ] as const
      for (const [text, sentence] of cases) {
        fs.writeFileSync(file, text)
        assert.strictEqual(yield* refusal(out, few), sentence)
        assert.strictEqual(recordsIn(out), text)
      }
    }))
})
