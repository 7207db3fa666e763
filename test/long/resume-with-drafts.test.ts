/** Runs that draft from what they have drawn: real processes with the embedded policy and judge. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "vitest"
import { bareRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("drafts")
const vequinox = killableIn(work)

const settings = ["--prompts-per-step", "4", "--k", "4", "--trust-pairs", "0", "--max-new-tokens", "100", "--steps", "8", "--save-steps", "2", "--json", ...bareRun]
const metricsOf = (run: string): ReadonlyArray<Record<string, number>> =>
  fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
const timeless = (run: string) => metricsOf(run).map((row) => Object.entries(row).filter(([name]) => !name.startsWith("seconds/")))
const weights = (run: string) => fs.readFileSync(path.join(run, "adapter/adapter_model.safetensors"))
const drawnIn = (run: string) => {
  const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true })
  const rows = db.prepare("SELECT step, prompt_id, idx, hex(completion_ids) AS ids, hex(logps) AS logps FROM candidates ORDER BY 1, 2, 3").all()
  db.close()
  return rows
}

describe("a run with drafts", () => {
  it("draws the first steps as one without; killed and resumed, it is the run that never stopped, bit for bit", async () => {
    const [plain, alone, struck] = ["plain", "alone", "struck"].map((name) => path.join(work, name)) as [string, string, string]
    assert.strictEqual((await vequinox(["train", ...settings, "--out", plain])).code, 0)
    const drafted = [...settings, "--draft-tokens", "6"]
    const ended = await vequinox(["train", ...drafted, "--out", alone])
    assert.strictEqual(ended.code, 0, ended.stderr)
    const tokens = (run: string) => drawnIn(run).filter(({ step }) => Number(step) < 3).map(({ ids }) => ids)
    assert.deepStrictEqual(tokens(alone), tokens(plain)) // then a last bit may have become another token
    const rates = metricsOf(alone).map((row) => row["sampling/tokens_per_forward"]!)
    assert.deepStrictEqual(rates.slice(0, 2), [1, 1]) // drawn from version 0, before anything was stored
    assert.isTrue(rates.slice(2).every((rate) => rate > 1.03), rates.join())
    assert.isTrue(metricsOf(plain).every((row) => row["sampling/tokens_per_forward"] === undefined))

    const killed = await vequinox(["train", ...drafted, "--out", struck], { said: "\"step\":", times: 5 })
    assert.strictEqual(killed.signal, "SIGKILL", killed.stderr)
    const resumed = await vequinox(["train", "--resume", struck])
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.isTrue(weights(struck).equals(weights(alone)))
    assert.deepStrictEqual(timeless(struck), timeless(alone))
    assert.deepStrictEqual(drawnIn(struck), drawnIn(alone))
  }, 600_000)
})
