import * as fs from "node:fs"
import * as path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Asked, folderOf, type Job, jobsOf, type Point, pointsOf, readJson, type Result, resultOf, writeJson } from "../../bench/learn/jobs.ts"
import { pageOf, writePage } from "../../bench/learn/page.ts"
import * as perfect from "../../bench/learn/perfect.ts"
import { baseOf, curveOf, differenceOf, endOf, rightsAt, seriesOf } from "../../bench/learn/results.ts"
import { Picture } from "../../src/domain.ts"
import { promptOf } from "../../src/prompts.ts"
import { Judge } from "../../src/stages/Judge.ts"
import { embedded } from "../../src/system/installed.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const asked: Asked = {
  model: embedded("policy"),
  recipes: [["default", ["perfect", "clip"]], ["trl-5e-4", ["clip"]]],
  seeds: [1, 2],
  steps: 20,
  every: 8,
  peerSteps: 20,
  heldOut: 16,
  choice: 8
}
const jobs = (changes: Partial<Asked> = {}) => Effect.runPromise(jobsOf({ ...asked, ...changes }).pipe(Effect.provide(NodeServices.layer)))

const kinds: Result["kinds"] = ["single", "single", "count", "count"]
/** A point whose best temperature is 0.3, by each held-out prompt's digit there and at temperature 1. */
const point = (drawings: number, best: string, plain: string): Point => ({
  drawings,
  best: 0.3,
  choice: [],
  heldOut: [[0.3, best], [1, plain]].map(([temperature, rights]) => ({ temperature: Number(temperature), rights: String(rights), valid: 1, tokens: 9, nats: 3 }))
})
const result = (changes: Partial<Result>): Result => ({
  recipe: "default", judge: "clip", seed: 1, model: "/home/someone/model", steps: 20, drawingsAStep: 100, every: 10, heldOut: 4, choice: 2, key: "k", seconds: 50,
  kinds, points: [point(1000, "1100", "0000"), point(2000, "1110", "1000")], ...changes
})
const base = result({ recipe: null, judge: null, steps: 0, points: [point(0, "1000", "0000")] })

describe("jobs", () => {
  it("are the base, then seed by seed, and all recipes draw as much", async () => {
    const all = await jobs()
    assert.deepStrictEqual(all.map(({ judge, recipe, seed }) => [recipe, judge, seed]), [
      [null, null, 0],
      ["default", "perfect", 1], ["default", "clip", 1], ["trl-5e-4", "clip", 1],
      ["default", "perfect", 2], ["default", "clip", 2], ["trl-5e-4", "clip", 2]
    ])
    for (const { drawingsAStep, every, steps } of all.slice(1)) {
      assert.strictEqual(steps * drawingsAStep, 20 * 32)
      assert.strictEqual(every * drawingsAStep, 8 * 32)
    }
    const shorter = await jobs({ peerSteps: 8 })
    assert.deepStrictEqual(shorter.map(({ drawingsAStep, steps }) => steps * drawingsAStep / 32), [0, 20, 20, 8, 20, 20, 8])
    assert.deepStrictEqual(shorter.filter(({ recipe }) => recipe === "default").map(({ key }) => key), all.filter(({ recipe }) => recipe === "default").map(({ key }) => key))
  })

  it("have another key for whatever changes their numbers, and the same one wherever the model lies", async () => {
    const keys = async (changes: Partial<Asked> = {}) => (await jobs({ recipes: [["default", ["clip"]]], seeds: [1], ...changes })).map(({ key }) => key)
    const [one] = [await keys()]
    const moved = path.join(scratchFolder("learn-model"), "policy")
    fs.cpSync(asked.model, moved, { recursive: true })
    assert.deepStrictEqual(await keys({ model: moved }), one)
    fs.appendFileSync(path.join(moved, "config.json"), "\n")
    for (const changes of [{ model: moved }, { steps: 24 }, { heldOut: 20 }, { choice: 9 }]) assert.notStrictEqual((await keys(changes))[1], one[1])
    for (const changes of [{ recipes: [["sft", ["clip"]]] }, { recipes: [["default", ["coin"]]] }, { seeds: [2] }] satisfies ReadonlyArray<Partial<Asked>>) {
      assert.notStrictEqual((await keys(changes))[1], one[1])
      assert.strictEqual((await keys(changes))[0], one[0]) // the base is measured once
    }
  })

  it("are measured every so many steps and at the end, once", () => {
    assert.deepStrictEqual(pointsOf({ every: 8, steps: 20 }), [8, 16, 20])
    assert.deepStrictEqual(pointsOf({ every: 10, steps: 20 }), [10, 20])
    assert.deepStrictEqual(pointsOf({ every: 10, steps: 4 }), [4])
  })

  it("are done if their own result is there: not another's in a folder of the same name, nor half a file", () => {
    const out = scratchFolder("learn-results")
    const job: Job = result({ key: "12345678aaaa" })
    const file = path.join(folderOf(out, job), "result.json")
    assert.isUndefined(resultOf(out, job))
    writeJson(file, { ...job, key: "12345678bbbb" })
    assert.isUndefined(resultOf(out, job))
    writeJson(file, job)
    assert.deepStrictEqual(resultOf(out, job), job as Result)
    assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), ["result.json"])
    fs.writeFileSync(file, "{")
    assert.throws(() => readJson(file), /result\.json cannot be read .* remove it/)
  })
})

describe("curves", () => {
  it("are means over seeds at each policy's own best temperature, from the base on", () => {
    const [series] = seriesOf([base, result({}), result({ seed: 2, points: [point(1000, "0100", "0000"), point(2000, "1111", "0000")] })])
    assert.deepStrictEqual(curveOf(series!, base, "best").map(({ drawings, highest, lowest, right }) => [drawings, lowest, right.value, highest]), [
      [0, 0.25, 0.25, 0.25],
      [1000, 0.25, 0.375, 0.5],
      [2000, 0.75, 0.875, 1]
    ])
    assert.deepStrictEqual(curveOf(series!, base, 1).map(({ right }) => right.value), [0, 0, 0.125])
    assert.deepStrictEqual(curveOf(series!, base, "best", "count").map(({ right }) => right.value), [0, 0, 0.75])
    assert.strictEqual(endOf(series!, "best", "single").right.value, 1)
  })

  it("keep the last policy of a run that stopped", () => {
    const stopped = result({ seed: 2, stopped: "It ran away.", points: [point(1000, "0000", "0000")] })
    const [series] = seriesOf([result({}), stopped])
    assert.deepStrictEqual(curveOf(series!, base, "best").map(({ right }) => right.value), [0.25, 0.25, 0.375])
  })

  it("are compared prompt by prompt", () => {
    const difference = differenceOf({ results: [result({})] }, { results: [result({ points: [point(2000, "1100", "0000")] })] })
    assert.strictEqual(difference.value, 0.25)
    assert.isAtLeast(difference.lower, 0) // no prompt got worse
    assert.deepStrictEqual(rightsAt(base, base.points[0]!, "best", "single"), [1, 0])
    const half = differenceOf({ results: [result({})] }, { results: [result({ points: [point(1000, "1000", "0000")] })] }, 1000)
    assert.strictEqual(half.value, 0.25) // "1100", after 1,000, not "1110"
  })
})

describe("docs/learning.md", () => {
  const peer = result({ recipe: "trl-5e-4", points: [point(2000, "1000", "0000")] })
  const all = [base, result({}), peer, result({ recipe: "full", stopped: "It ran away.", points: [point(1000, "1000", "0000")] })]

  it("tells what the results say, and nothing of the machine", () => {
    const page = pageOf(all, { command: "npx -y pnpm@10 run bench learn --steps 20", usual: 2000 })
    assert.include(page, "| none: the base |  |  | 0 | .25 [.00, .75] | .00 | .50 | .00 |")
    assert.include(page, "| `default` | clip | 1 | 2,000 | .75 [.25, 1.00] | .25 | 1.00 | .50 | +.50 [+.00, +1.00] | 0.3 | 25.0 |")
    assert.include(page, "- `default` minus `trl-5e-4`, judge clip, after 2,000 drawings: +.50 [+.00, +1.00], not to be told apart.")
    assert.include(page, "- `full`, judge clip, seed 1, after 1,000 drawings: It ran away.")
    assert.notInclude(page, "/home/")
    assert.notInclude(page, "shorter than the default run")
    assert.include(pageOf(all, { command: "", usual: 2001 }), "shorter than the default run, which draws 2,001")
    assert.strictEqual(baseOf(all), base)
  })

  it("is written with its pictures, which are well-formed and of both colour schemes", () => {
    const docs = scratchFolder("learn-docs")
    writePage(docs, all, { command: "command", usual: 2000 })
    const page = fs.readFileSync(path.join(docs, "learning.md"), "utf8")
    for (const [, file] of page.matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)) {
      const svg = fs.readFileSync(path.join(docs, file!), "utf8")
      assert.match(svg, /^<svg [^>]*viewBox="0 0 \d+ \d+"/)
      assert.include(svg, "prefers-color-scheme:dark")
      assert.notMatch(svg, /NaN|undefined|Infinity/)
    }
    assert.deepStrictEqual(fs.readdirSync(docs).sort(), ["learning-kinds.svg", "learning.md", "learning.svg"])
  })
})

describe("the perfect judge", () => {
  /** A picture of one colour on white, a square in the middle. */
  const square = (hash: string, [r, g, b]: readonly [number, number, number]) => {
    const rgba = new Uint8Array(64 * 64 * 4).fill(255)
    for (let y = 16; y < 48; y++) for (let x = 16; x < 48; x++) rgba.set([r, g, b], 4 * (64 * y + x))
    return new Picture({ hash, width: 64, height: 64, rgba })
  }
  const [red, blue] = [square("red", [220, 30, 30]), square("blue", [30, 60, 220])]
  const ask = (text: string, a: Picture, b: Picture) =>
    Judge.use(({ compare }) => compare(promptOf(text), a, b)).pipe(Effect.provide(perfect.layer))

  it.effect("prefers what the scene check prefers, whichever comes first, and ties what it calls equal", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ask("a red square", red, blue)).outcome, "A")
      assert.strictEqual((yield* ask("a red square", blue, red)).outcome, "B")
      assert.strictEqual((yield* ask("a red square", red, red)).outcome, "tie")
    }))

  it.effect("refuses a prompt that nothing is known of", () =>
    Effect.map(Effect.flip(ask("something lovely", red, blue)), (error) => assert.strictEqual(error._tag, "JudgeRefused")))
})
