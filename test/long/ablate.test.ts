/** `vequinox ablate` as a person calls it: real processes that train the embedded policy, are stopped, and go on. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, it } from "vitest"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const plan = (name: string, value: unknown) => {
  fs.writeFileSync(path.join(work, name), JSON.stringify(value))
  return name
}
const tiny = { max_steps: 2, prompts_per_step: 3, num_generations: 2, max_new_tokens: 80, threads: 1 }
const evaluation = { limit: 4, temperatures: [1], k: 1 }

it("trains variants one after another where they build on each other, stops, goes on, and compares", async () => {
  const file = plan("plan.yaml", { seeds: [3], settings: tiny, variants: { pairs: {}, more: { after: "pairs", loss_type: "dapo" }, whole: { lora_r: 0, learning_rate: 1e-4 } }, evaluation })
  // Stopped while the first run trains.
  const main = path.resolve(import.meta.dirname, "../../src/main.ts")
  const stopped = await new Promise<{ readonly code: number | null; readonly stderr: string }>((resolve) => {
    const child = spawn(process.execPath, [main, "ablate", file, "--out", "out", "--jobs", "1"], { cwd: work, env: { PATH: process.env["PATH"] } })
    let [stderr, asked] = ["", false]
    child.stderr.on("data", (text) => {
      stderr += text
      if (asked || !stderr.includes("[pairs, seed 3]")) return
      asked = child.kill("SIGINT") // once: a second one does not wait
    })
    child.on("close", (code) => resolve({ code, stderr }))
  })
  assert.notStrictEqual(stopped.code, 0)
  assert.match(stopped.stderr, /Stopped: the same command goes on from here\./)

  const ended = await vequinox({}, "ablate", file, "--out", "out", "--jobs", "2")
  assert.strictEqual(ended.code, 0, ended.stderr)
  assert.match(ended.stderr, /3 of 3 runs are done/)
  assert.match(ended.stdout, /^variant +seeds +right +seeds from, to +at 1 +minus base, 95 % +minus pairs\nbase .*\npairs +1 .*\n/)
  const { finished, runs, seeds, variants } = JSON.parse(fs.readFileSync(path.join(work, "out/ablation.json"), "utf8"))
  assert.deepStrictEqual([finished, seeds], [true, [3]])
  assert.deepStrictEqual(variants.map(({ name }: { readonly name: string }) => name), ["pairs", "whole", "more"])
  assert.deepStrictEqual(runs.map(({ name }: { readonly name: string }) => name), ["pairs-3", "whole-3", "more-3"])
  const configOf = (run: string) => JSON.parse(fs.readFileSync(path.join(work, "out/runs", run, "config.json"), "utf8"))
  assert.include(JSON.stringify(configOf("more-3")), path.join("out/runs/pairs-3/adapter"))
  assert.include(fs.readFileSync(path.join(work, "out/report.html"), "utf8"), "<h3>Variants</h3>")

  const again = await vequinox({}, "ablate", file, "--out", "out")
  assert.strictEqual(again.stdout, ended.stdout)
  const other = plan("other.yaml", { seeds: [3], settings: tiny, variants: { pairs: { beta: 0.2 } }, evaluation })
  const refused = await vequinox({}, "ablate", other, "--out", "out")
  assert.match(refused.stderr, /vequinox: pairs had other settings when out was begun/)
}, 300_000)
