/** `vequinox sft` with rows of three kinds, evaluation, best parameters, early end and curriculum, in real processes. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { encodePng } from "../../src/drawing/png.ts"
import { correction, critique, direct, preferences } from "../rows/introsvg.ts"
import { commandLine, killedAt } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const at = (name: string) => path.join(work, name)
const colours = ["red", "blue", "green", "black", "grey", "pink"]
/** Drawings of one to six circles. */
const drawn = (n: number): string => colours.slice(0, 1 + n % 6).map((colour, i) => `<circle cx="${10 * i}" cy="${n}" r="5" fill="${colour}"/>`).join("") + "</svg>"
const direct24 = Array.from({ length: 24 }, (_, n) => ({ prompt: `${n} circles`, completion: drawn(n) }))
const jsonl = (name: string, rows: ReadonlyArray<unknown>): string => {
  fs.writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
  return at(name)
}
const small = ["--batch-size", "4", "--threads", "1", "--warmup-steps", "1"]
const lines = (stdout: string) => stdout.trim().split("\n").map((line) => JSON.parse(line) as Record<string, number>)
const weights = (out: string) => fs.readFileSync(at(`${out}/model.safetensors`))
const record = (out: string) => JSON.parse(fs.readFileSync(at(`${out}/training.json`), "utf8")) as Record<string, unknown> & { readonly curve: ReadonlyArray<Record<string, number>> }
const run = async (out: string, ...args: ReadonlyArray<string>) => {
  const ended = await vequinox({}, "sft", "--out", at(out), ...small, ...args)
  assert.strictEqual(ended.code, 0, ended.stderr)
  return ended
}

describe("sft", () => {
  it("reads IntroSVG's rows as they are published, its pictures included, and mixes their kinds", async () => {
    const data = at("intro.json")
    fs.writeFileSync(data, JSON.stringify([direct, correction, critique]))
    const args = ["--data", data, "--steps", "2", "--max-length", "2000", "--prefill="]
    const blind = await vequinox({}, "sft", "--out", at("blind"), ...small, ...args)
    assert.strictEqual(blind.code, 1)
    assert.match(blind.stderr, /^vequinox: \S+intro\.json, entry 3: \S+7\.png cannot be seen: it does not exist\.\n$/)
    fs.mkdirSync(at("draft_image"))
    fs.writeFileSync(at("draft_image/7.png"), encodePng(20, 20, new Uint8Array(1600).fill(255)))
    const { stderr } = await run("intro", ...args, "--mix", "direct=1,correction=1,critique=0.5", "--eval-data", data, "--eval_steps", "1")
    assert.include(stderr, "Rows: 1 direct, 1 correction, 1 critique.")
    assert.include(stderr, "3 of 3 rows of --eval-data have a prompt that is trained on.")
    assert.containsAllKeys(record("intro").curve[0], ["eval_loss", "eval_direct_loss", "eval_correction_loss", "eval_critique_loss"])
    assert.deepInclude(record("intro"), { mix: { direct: 1, correction: 1, critique: 0.5 }, rows: 3, eval_rows: 3 })
  }, 240_000)

  it("refuses what it cannot learn from in one sentence", async () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
      [["--data", jsonl("dpo.jsonl", [preferences])], /dpo\.jsonl, line 1: it is a row of preferences/],
      [["--data", jsonl("d.jsonl", direct24), "--mix", "direct=1,critique=1"], /--mix gives critique a weight, and \S+d\.jsonl has no such row: leave it out, or add rows\./],
      [["--data", at("d.jsonl"), "--eval-share", "0.0001"], /--eval-share 0\.0001 holds out none of 24 prompts: raise it, or give --eval-data\./],
      [["--data", at("d.jsonl"), "--curriculum-stages", "9", "--complexity", "elements"], /too many of 24 rows have the same number of elements/]
    ]
    for (const [args, expected] of cases) {
      const { code, stderr, stdout } = await vequinox({}, "sft", "--out", at("refused"), ...small, ...args)
      assert.deepStrictEqual([code, stdout, stderr.trim().split("\n").length], [1, "", 1], stderr)
      assert.match(stderr, expected)
    }
    assert.isFalse(fs.existsSync(at("refused")))
  }, 240_000)

  it("measures what training would call its loss, and leaves training as it is", async () => {
    const data = jsonl("four.jsonl", direct24.slice(0, 4)) // a batch has them all
    const { stdout } = await run("measured", "--data", data, "--eval-data", data, "--eval-steps", "1", "--steps", "3", "--json", "--load_best_model_at_end=false", "--save-dtype", "F32")
    const [first, second, third, result] = lines(stdout)
    assert.closeTo(first!["eval_loss"]!, second!["loss"]!, 1e-4) // after a step is before the next
    assert.closeTo(second!["eval_loss"]!, third!["loss"]!, 1e-4)
    assert.strictEqual(first!["eval_direct_loss"], first!["eval_loss"])
    assert.deepInclude(result, { written_step: 3, last_step: 3 })
    await run("unmeasured", "--data", data, "--steps", "3", "--save-dtype", "F32")
    assert.deepStrictEqual(weights("measured"), weights("unmeasured"))
  }, 240_000)

  it("writes the best parameters and says of which step; ends early", async () => {
    const data = jsonl("early.jsonl", direct24.slice(0, 4))
    const held = jsonl("held.jsonl", [{ prompt: "a thing", completion: "<path d=\"M1 1h9\"/></svg>" }])
    const form = ["--data", data, "--eval-data", held, "--eval-steps", "1", "--save-dtype", "F32", "--lr-scheduler-type", "constant_with_warmup", "--learning-rate", "0.02"]
    const { stderr } = await run("early", ...form, "--steps", "40", "--early-stopping-patience", "2")
    const { best_step: best, curve, last_step: last, written_step: written } = record("early")
    assert.strictEqual(last, Number(best) + 2)
    assert.strictEqual(written, best)
    assert.isBelow(Number(last), 40)
    assert.strictEqual(Math.min(...curve.map((line) => line["eval_loss"]!)), curve[Number(best) - 1]!["eval_loss"])
    assert.match(stderr, new RegExp(`Ended ${40 - Number(last)} steps early: eval_loss had not improved\\. The parameters are those of step ${String(best)}, `))
    await run("best", ...form, "--steps", String(best), "--no-load-best-model-at-end")
    assert.deepStrictEqual(weights("early"), weights("best"))
  }, 300_000)

  it("goes from simple drawings to complex ones", async () => {
    const data = jsonl("stages.jsonl", direct24)
    const form = ["--data", data, "--curriculum-stages", "3", "--complexity", "elements", "--json"]
    const { stdout } = await run("staged", ...form, "--steps", "6")
    assert.deepStrictEqual(lines(stdout).map(({ stage }) => stage), [1, 1, 2, 2, 3, 3])
    const tokens = lines(stdout).map((line) => line["num_tokens"]!)
    assert.isBelow(tokens[0]!, tokens[4]! + tokens[5]!)
    assert.deepInclude(record("staged"), { stage_starts: [1, 3, 5], stages: 3, complexity: "elements" })
    // Nothing lowers a loss by half in a step: the second evaluation of a stage is its last.
    const hasty = await run("hasty", ...form, "--eval-share", "0.4", "--eval-steps", "1", "--stage-improvement", "0.5", "--steps", "12")
    const told = lines(hasty.stdout).slice(0, -1)
    assert.deepStrictEqual(told.map(({ stage }) => stage), [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3])
    assert.isTrue(told.every((line) => Number.isFinite(line["eval_stage_loss"])))
  }, 300_000)

  it("goes on where it was stopped, with its best parameters, its patience and its stage, to the same result", async () => {
    const data = jsonl("resumed.jsonl", direct24)
    const rules = ["--eval-share", "0.3", "--eval-steps", "2", "--early-stopping-patience", "9", "--curriculum-stages", "2", "--mix", "direct=1"]
    const args = (out: string) => ["sft", "--data", data, "--out", at(out), "--steps", "12", "--learning-rate", "0.02", "--save-dtype", "F32", ...rules, ...small]
    const whole = await vequinox({}, ...args("whole"))
    assert.strictEqual(whole.code, 0, whole.stderr)
    await killedAt(work, at("resumed.partial.safetensors"), [...args("resumed"), "--save-steps", "3"])
    assert.isFalse(fs.existsSync(at("resumed")))
    const resumed = await vequinox({}, ...args("resumed"))
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.match(resumed.stderr, /Goes on after step [369] of 12\./)
    assert.deepStrictEqual(weights("resumed"), weights("whole"))
    const bare = (out: string) => ({ ...record(out), out: "", saveSteps: 0, curve: record(out).curve.map((line) => ({ ...line, seconds: 0 })) })
    assert.deepStrictEqual(bare("resumed"), bare("whole"))
  }, 300_000)
})
