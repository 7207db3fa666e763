/** Runs whose reference moves, and whose losses are several, as a person starts them: real processes with the embedded policy and judge. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { bareRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("moving-reference")
const vequinox = killableIn(work)

const brief = "--steps 4 --prompts-per-step 3 --k 3 --save-steps 1 --max-new-tokens 80 --warmup-steps 0 --trust-pairs 0 --seed 5 --json --ref-model-sync-steps 2".split(" ")
const text = (run: string, name: string) => fs.readFileSync(path.join(run, name), "utf8")
const metricsOf = (run: string): ReadonlyArray<Record<string, number>> => text(run, "metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line))
const timeless = (rows: ReadonlyArray<Record<string, number>>) => rows.map((row) => Object.entries(row).filter(([name]) => !name.startsWith("seconds/")))

describe.each([
  {
    name: "a reference copied every second update, with three losses",
    own: "--loss-type sigmoid,bco_pair,sft --loss-weights 0.8,0.2,1 --sync-ref-model --ref-model-mixup-alpha 1".split(" "),
    adapter: "adapter/adapter_model.safetensors",
    title: "DPO + BCO + SFT"
  },
  {
    name: "every parameter's reference mixed, with weighed pairs",
    own: "--lora-r 0 --learning-rate 1e-4 --use-weighting --sync-ref-model --ref-model-mixup-alpha 0.6".split(" "),
    adapter: "adapter/model.safetensors",
    title: "Online DPO"
  }
])("$name", ({ adapter, name, own, title }) => {
  it("is in every checkpoint: a run that is killed and resumed comes to the same parameters, bit for bit", async () => {
    const [alone, struck] = [path.join(work, name, "alone"), path.join(work, name, "struck")]
    const ended = await vequinox(["train", ...own, ...brief, ...bareRun, "--out", alone])
    assert.strictEqual(ended.code, 0, ended.stderr)
    for (let step = 1; step <= 4; step++) assert.isTrue(fs.existsSync(path.join(alone, `checkpoints/step-${step}/reference.safetensors`)))
    const metrics = metricsOf(alone)
    // Before the first and after the second update policy and reference are the same, so no drawing has a reward.
    if (own.includes("1")) metrics.forEach((row, n) => assert.strictEqual(Math.abs(row["rewards/margins"]!) < 1e-4, n % 2 === 0, `step ${n}`))
    else assert.isNumber(metrics[0]!["pairs/likelihood_weight"])
    assert.include(text(alone, "report.html"), title)

    const killed = await vequinox(["train", ...own, ...brief, ...bareRun, "--out", struck], { said: "\"step\":", times: 3 })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    const resumed = await vequinox(["train", "--resume", struck])
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.isTrue(fs.readFileSync(path.join(struck, adapter)).equals(fs.readFileSync(path.join(alone, adapter))))
    assert.deepStrictEqual(timeless(metricsOf(struck)), timeless(metrics))
  }, 480_000)
})

it("what cannot hold together is refused in one sentence, and makes no folder", async () => {
  for (const [args, sentence] of [
    [["--sync-ref-model"], /^vequinox: ref_model_mixup_alpha is 0\.6, and a mixture of two adapters is no adapter of their rank: give 1, .*\.$/],
    [["--loss-type", "sigmoid,dapo"], /^vequinox: loss_type adds up losses of pairs and sft only, and dapo is none: give it alone\.$/],
    [["--loss-type", "sigmoid,sft", "--rpo-alpha", "1"], /^vequinox: --rpo-alpha means nothing with loss_type sigmoid,sft: /],
    [["--loss-type", "aot", "--use-weighting"], /^vequinox: --use-weighting means nothing with loss_type aot: /]
  ] as const) {
    const { code, stderr } = await vequinox(["train", ...args, "--out", path.join(work, "refused")])
    assert.strictEqual(code, 1)
    assert.match(stderr.trim(), sentence)
  }
  assert.isFalse(fs.existsSync(path.join(work, "refused")))
}, 180_000)
