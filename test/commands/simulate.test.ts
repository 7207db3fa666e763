/** `vequinox simulate` on a run whose seconds are known. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { afterAll } from "vitest"
import { resolveConfig } from "../../src/wiring/settings.ts"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

/** 2 prompts of 2 drawings and a pair each a step, of which each is trained. */
const writeRun = async (name: string, steps: number) => {
  const folder = path.join(work, name)
  fs.mkdirSync(folder)
  const config = await Effect.runPromise(resolveConfig(undefined, { prompts_per_step: 2, prompts_per_batch: 2, num_generations: 2, max_staleness: 0, judge: "clip" }))
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify({ ...config, working_dir: work }))
  // The first steps are slower, as sessions are opened, and one was paused.
  const seconds = (step: number) => (step < 2 ? 50 : step === 5 ? 500 : 1)
  const lines = Array.from({ length: steps }, (_, step) => {
    const slow = seconds(step)
    return JSON.stringify({ step, "seconds/sample": 4 * slow, "seconds/render": 0, "seconds/judge": 2 * slow, "seconds/train": 4 * slow, "judge/asked": 2, "judge/cost_usd": 0.01, "pairs/trained": 2 })
  })
  fs.writeFileSync(path.join(folder, "metrics.jsonl"), lines.join("\n") + "\n{\"step\": 2")
  return folder
}

describe("vequinox simulate", () => {
  beforeAll(async () => {
    await writeRun("run", 20)
    await writeRun("short", 5)
  })

  it("tells seconds, the busiest stage, time and price", async () => {
    const { code, stderr, stdout } = await vequinox({}, "simulate", "run", "--samplers", "1,4", "--max-staleness", "0", "--pairs", "3600", "--sampler-usd-hour", "2", "--trainer-usd-hour", "1", "--json")
    assert.strictEqual(code, 0, stderr)
    const { costs, rows } = JSON.parse(stdout)
    assert.deepStrictEqual(costs, { sample: { fixed: 0, each: 1 }, render: 0, judge: 1, train: 2 })
    const [one, four] = rows
    assert.closeTo(one.secondsAStep, 10, 1e-6)
    assert.closeTo(four.secondsAStep, 7, 1e-6)
    assert.strictEqual(four.bottleneck, "train")
    // 1,800 steps of 10 s are 5 hours of a sampler and a trainer; an answer was half a cent.
    assert.deepStrictEqual(one.pairs, [{ pairs: 3600, seconds: 18_000, usd: 3600 * 0.005 + 5 * 3 }])
    const table = (await vequinox({}, "simulate", "run", "--samplers", "2", "--max-staleness", "1", "--cores", "2")).stdout
    assert.match(table, /^Of 18 steps of the run: sampling 1,000 ms a drawing/)
    assert.match(table, /samplers {2}staleness .*cores/)
  })

  it("refuses what it cannot work with, in a sentence", async () => {
    const said = async (...args: ReadonlyArray<string>) => {
      const { code, stderr } = await vequinox({}, "simulate", ...args)
      assert.notStrictEqual(code, 0)
      assert.notMatch(stderr, /\n\s+at /)
      return stderr
    }
    assert.match(await said("nowhere"), /holds no run that has begun/)
    assert.match(await said("short"), /short has 5 whole steps, which is too few to measure: let it train for 10 or more/)
    assert.match(await said("run", "--samplers", "1,none"), /--samplers is 1,none: give whole numbers from 1 to 4096 with commas between them/)
    assert.match(await said("run", "--prompts-per-step", "20000"), /too large to simulate: at most 20000 drawings/)
  })
})
