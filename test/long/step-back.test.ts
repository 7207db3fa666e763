/** Runs made to diverge, as a person starts them: real processes with the embedded policy and judge, 30 times the usual rate. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "vitest"
import { backTo, rateMetric } from "../../src/evaluation/divergence.ts"
import { bareRun, briefRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("step-back")

const vequinox = killableIn(work)

const tiny = ("--rpo-alpha 0 --pair-selection all --prompts-per-step 4 --k 4 --trust-pairs 0 --max-new-tokens 100 --learning-rate 0.03 --warmup-steps 0 " +
  "--lr-scheduler-type constant --json").split(" ")
const text = (run: string, name: string) => fs.readFileSync(path.join(run, name), "utf8")
const metricsOf = (run: string): ReadonlyArray<Record<string, number>> => text(run, "metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line))
const timeless = (rows: ReadonlyArray<Record<string, number>>) =>
  rows.map((row) => Object.entries(row).filter(([name]) => !name.startsWith("seconds/")))
const weights = (run: string, name = "adapter_model") => fs.readFileSync(path.join(run, `adapter/${name}.safetensors`))

describe("a run at 30 times the learning rate", () => {
  it("steps back and goes on more slowly; killed after that and resumed, its adapter is the same, bit for bit", async () => {
    const [alone, struck] = [path.join(work, "alone"), path.join(work, "struck")]
    const settings = [...tiny, "--steps", "9", "--save-steps", "1"]
    const ended = await vequinox(["train", ...settings, ...briefRun, "--out", alone])
    const metrics = metricsOf(alone)
    const back = metrics.find((row) => row[backTo] !== undefined)!
    assert.isDefined(back, "it never stepped back")
    assert.deepInclude(back, { [backTo]: 0, [rateMetric]: 0.25, learning_rate: 0.03 })
    const after = metrics.slice(back["step"]! + 1)
    const trained = after.find((row) => row["learning_rate"] !== undefined)!
    assert.closeTo(trained["learning_rate"]!, 0.03 / 4, 1e-12)
    assert.closeTo(trained["loss"]!, Math.LN2, 1e-4) // its start again: policy and reference agree

    // What was drawn in between is not trained.
    const db = new DatabaseSync(path.join(alone, "run.db"), { readOnly: true })
    const bad = db.prepare(`
      SELECT count(*) AS n, count(consumed_by_step) AS trained FROM lessons l
      WHERE l.step > ? AND (SELECT min(policy_version) FROM candidates c WHERE c.step = l.step) <= ?`).get(back["step"]!, back["step"]!)!
    db.close()
    assert.strictEqual(bad["trained"], 0)

    const summary = JSON.parse(text(alone, "summary.json"))
    const alarm = summary.alarms.find(({ step }: { readonly step: number }) => step === back["step"])
    assert.match(alarm.message, /: the run went back to its start and goes on at 1\/4 of its learning rate\.$/)
    assert.include(text(alone, "report.html"), "goes on at 1/4 of its learning rate")
    const inspected = await vequinox(["inspect", alone])
    assert.include(inspected.stdout, `Step ${back["step"]! + 1}. ${alarm.message}`)
    // Whatever became of it, it says so.
    if (summary.stopped !== undefined) assert.strictEqual(ended.code, 1)
    else assert.strictEqual(ended.code, 0, ended.stderr)

    const killed = await vequinox(["train", ...settings, ...bareRun, "--out", struck], { said: "\"step\":", times: back["step"]! + 3 })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    assert.isTrue(metricsOf(struck).some((row) => row[backTo] !== undefined), "it was killed before it stepped back")
    const resumed = await vequinox(["train", "--resume", struck])
    assert.strictEqual(resumed.code, ended.code, resumed.stderr)
    assert.isTrue(weights(struck).equals(weights(alone)))
    assert.deepStrictEqual(timeless(metricsOf(struck)), timeless(metrics))
  }, 900_000)

  it("that trains every parameter and may not step back stops with a sentence, a non-zero exit and the policy of its start", async () => {
    const run = path.join(work, "stops")
    const ended = await vequinox(["train", ...tiny, ...briefRun, "--steps", "12", "--lora-r", "0", "--on-divergence", "stop", "--out", run])
    assert.strictEqual(ended.code, 1, ended.stdout)
    assert.match(ended.stderr, /^vequinox: The .*, so training stopped\. The adapter is what the run started from: nothing was learned\. Begin a new run with a lower --learning-rate\.$/m)
    const metrics = metricsOf(run)
    assert.isBelow(metrics.length, 12)
    const summary = JSON.parse(text(run, "summary.json"))
    assert.include(summary.stopped, "so training stopped")
    const inspected = await vequinox(["inspect", run])
    assert.strictEqual(inspected.stdout.split(summary.stopped).length - 1, 1, inspected.stdout)
    assert.deepStrictEqual(summary.validity.after, summary.validity.before)
    const adapter = weights(run, "model")
    const again = await vequinox(["train", "--resume", run])
    assert.strictEqual(again.code, 0, again.stderr)
    assert.include(again.stderr, `is finished: ${metrics.length} steps`)
    assert.isTrue(weights(run, "model").equals(adapter))
  }, 900_000)
})
