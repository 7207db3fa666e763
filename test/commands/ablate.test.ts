/** `vequinox ablate` as a person calls it: real processes that train the embedded policy. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll } from "vitest"
import { readPlan } from "../../src/wiring/comparison/plan.ts"
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

it.effect("says in one sentence what is wrong with a plan", () => Effect.gen(function*() {
  const bad: ReadonlyArray<readonly [unknown, RegExp]> = [
    [{ variants: { a: {} } }, /p\.yaml: .*seeds/],
    [{ seeds: [1], variants: {} }, /p\.yaml has no variants\.$/],
    [{ seeds: [1], variants: { "a b": {} } }, /p\.yaml: no variant can be called "a b"/],
    [{ seeds: [1], variants: { base: {} } }, /p\.yaml: no variant can be called "base"/],
    [{ seeds: [1], variants: { a: { bta: 1 } } }, /p\.yaml, variant a: there is no setting "bta"\.$/],
    [{ seeds: [1], variants: { a: { seed: 1 } } }, /p\.yaml, variant a: seed is not given here/],
    [{ seeds: [1], variants: { a: { beta: -1 } } }, /p\.yaml, variant a: --beta is -1/],
    [{ seeds: [1], variants: { a: { after: "c" } } }, /p\.yaml: a starts after c, and there is no such variant\.$/],
    [{ seeds: [1], variants: { a: { after: "b" }, b: { after: "a" } } }, /p\.yaml: a starts after b, which in turn waits for it\.$/],
    [{ seeds: [1], variants: { a: {}, b: { prefill: "<svg>" } } }, /p\.yaml: b has another prefill than a/],
    [{ seeds: [1], variants: { a: {} }, extra: 1 }, /p\.yaml: .*extra/]
  ]
  for (const [value, sentence] of bad) {
    const { message } = yield* Effect.flip(readPlan(path.join(work, plan("p.yaml", value))))
    assert.match(message, sentence)
    assert.notInclude(message, "\n")
  }
}))

it.effect("the example's plan can be read", () =>
  Effect.gen(function*() {
    const { seeds, variants } = yield* readPlan(path.resolve(import.meta.dirname, "../../examples/ablation.yaml"))
    assert.deepStrictEqual([seeds.length, variants.map(({ after, name }) => [name, after])], [3, [["dpo", undefined], ["dapo", undefined], ["dapo-after-dpo", "dpo"]]])
  }))
