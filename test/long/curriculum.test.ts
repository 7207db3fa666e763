/** A run whose prompts widen, as a person starts it: real processes with the embedded policy and judge. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { bareRun, briefRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("curriculum-run")

const vequinox = killableIn(work)
const refused = async (args: ReadonlyArray<string>, expected: RegExp) => {
  const { code, stderr } = await vequinox(args)
  assert.notStrictEqual(code, 0)
  assert.match(stderr, expected)
  assert.lengthOf(stderr.trim().split("\n"), 1)
}

const text = (run: string, name: string) => fs.readFileSync(path.join(work, run, name), "utf8")
const metricsOf = (run: string): ReadonlyArray<Record<string, number>> => text(run, "metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line))
const timeless = (rows: ReadonlyArray<Record<string, number>>) =>
  rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith("seconds/"))))

const settings = "--steps 5 --prompts-per-step 4 --k 3 --trust-pairs 4 --save-steps 1 --seed 5".split(" ")
const easy = "measure: validity, threshold: 0.01, evaluations: 1, every: 1, drawings: 8, keep: 0.5"
fs.writeFileSync(path.join(work, "widening.yaml"), `
stages:
  - { name: a pelican, prompts: "embedded:creature/pelican", ${easy} }
  - { name: on a bicycle, prompts: "embedded:rider/pelican/bicycle", ${easy} }
  - { name: compositions, prompts: ["embedded:count", "embedded:relation"], threshold: 1, drawings: 8, every: 1, evaluations: 9 }
`)

describe("train --curriculum", () => {
  it("passes stages by itself and says so; killed at a stage change, it resumes bit for bit", async () => {
    const train = ["train", ...settings, "--curriculum", "widening.yaml"]
    const alone = await vequinox([...train, ...briefRun, "--out", "alone"])
    assert.strictEqual(alone.code, 0, alone.stderr)
    const rows = metricsOf("alone")
    assert.deepStrictEqual(rows.map((row) => row["curriculum/stage"]), [1, 2, 3, 3, 3])
    assert.deepStrictEqual(rows.map((row) => row["curriculum/validity"] !== undefined), [false, true, true, false, false])
    assert.match(alone.stderr, /Step 2\. Stage 1 of 3 \("a pelican"\) is passed: validity is .* The prompts widen to "on a bicycle"\.\n/)
    const never = /^Stage 3 of 3 \("compositions"\) was not passed before the run ended, after 3 steps of it: right is [01]\.\d\d, and 1 was asked for in 9 evaluations in a row\.$/
    assert.match(JSON.parse(text("alone", "summary.json")).alarms.at(-1).message, never)
    assert.include(text("alone", "report.html"), "passed before step 2")

    const killed = await vequinox([...train, ...bareRun, "--out", "struck", "--json"], { said: "\"curriculum/stage\":2", times: 1 })
    assert.deepStrictEqual([killed.code, killed.signal], [null, "SIGKILL"], killed.stderr)
    assert.isBelow(metricsOf("struck").length, 5)
    fs.appendFileSync(path.join(work, "widening.yaml"), " ") // as long as it says the same
    const resumed = await vequinox(["train", "--resume", "struck"])
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.deepStrictEqual(timeless(metricsOf("struck")), timeless(rows))
    const adapterOf = (run: string) => fs.readFileSync(path.join(work, run, "adapter/adapter_model.safetensors"))
    assert.isTrue(adapterOf("struck").equals(adapterOf("alone")))
    assert.deepStrictEqual(JSON.parse(text("struck", "summary.json")).alarms, JSON.parse(text("alone", "summary.json")).alarms)

    const { stdout } = await vequinox(["inspect", "struck"])
    assert.match(stdout, /Curriculum:\n {2}1\. a pelican: passed before step 2 \(validity at least 0\.01, last .*\)\n {2}2\. on a bicycle: passed before step 3 .*\n {2}3\. compositions: not passed before the run ended \(right at least 1, 9 times in a row, last /)
  }, 300_000)

  it("ends a run at the stage that never gets there, where it says so, and keeps what was learned", async () => {
    fs.writeFileSync(path.join(work, "hard.yaml"), `stages: [{ name: hard, prompts: "embedded:count", threshold: 1, drawings: 4, every: 1, evaluations: 2, max_steps: 2, otherwise: stop }]`)
    const { code, stderr } = await vequinox(["train", ...settings, ...bareRun, "--curriculum", "hard.yaml", "--out", "ended"])
    assert.strictEqual(code, 0, stderr)
    assert.match(stderr, /Step 2\. Stage 1 of 1 \("hard"\) never got there in 2 steps: right is .*\. The run ends here\.\n/)
    const { alarms, steps } = JSON.parse(text("ended", "summary.json"))
    assert.deepStrictEqual([steps, alarms.length], [2, 1])
    assert.isTrue(fs.existsSync(path.join(work, "ended/adapter/adapter_model.safetensors")))
    assert.include(text("ended", "report.html"), "never got there, and so ended the run")
    assert.match((await vequinox(["train", "--resume", "ended"])).stderr, /is finished/)
    fs.writeFileSync(path.join(work, "hard.yaml"), text("", "hard.yaml").replace("max_steps: 2", "max_steps: 3"))
    await refused(["train", "--resume", "ended"], /cannot continue as it began: the curriculum changed\. Put that back/)
  }, 300_000)

  it("refuses what it cannot run, in one sentence, before anything is made", async () => {
    fs.writeFileSync(path.join(work, "bad.yaml"), "stages: [{ name: one, prompts: \"embedded:dragon\", threshold: 0.5 }]")
    fs.writeFileSync(path.join(work, "own.txt"), "a pelican\n")
    await refused(["train", "--curriculum", "bad.yaml", "--out", "none"], /bad\.yaml, stage 1: "embedded:dragon" names no prompts: give embedded:creature, /)
    await refused(["train", "--curriculum", "nowhere.yaml", "--out", "none"], /nowhere\.yaml cannot be read: it does not exist/)
    await refused(["train", "--curriculum", "embedded", "--prompts", "own.txt", "--out", "none"], /A curriculum \(embedded\) says what is drawn, and so do the prompts \(own\.txt\): leave one of the two out/)
    assert.isFalse(fs.existsSync(path.join(work, "none")))
  }, 120_000)
})
