/** `vequinox studio` as people meet it: a real process, asked over the network, and stopped. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { assert, beforeAll, describe, it } from "vitest"
import { embedded } from "../../src/system/installed.ts"
import { writeAdapter } from "../support/served.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { storedRun } from "../support/stored-run.ts"

const root = path.resolve(import.meta.dirname, "../..")
const work = scratchFolder("studio-cli")
const run = path.join(work, "runs", "first")

const studio = (args: ReadonlyArray<string>, listening: (url: string) => Promise<void>) =>
  new Promise<{ code: number | null; signal: string | null; stderr: string }>((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(root, "src/main.ts"), "studio", ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache") }
    })
    let stderr = ""
    child.stdout.once("data", (part) =>
      listening(JSON.parse(String(part)).url).then(() => child.kill("SIGINT"), (error: unknown) => (child.kill("SIGKILL"), reject(error))))
    child.stderr.on("data", (part) => (stderr += part))
    child.on("close", (code, signal) => resolve({ code, signal, stderr }))
  })
const post = async (url: string, body: object) => {
  const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
  return { status: answer.status, body: await answer.json() as any }
}

beforeAll(async () => {
  await Effect.runPromise(storedRun(run, 2, { model: embedded("policy"), lora_r: 8, max_new_tokens: 60, prefill: "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\">" }))
  for (const [name, seed] of [["checkpoints/step-1", 1], ["adapter", 2]] as const) writeAdapter(path.join(run, name), seed)
})

describe("vequinox studio", () => {
  it("draws with a run's checkpoints, judges what they drew, and ends at Ctrl-C", async () => {
    const { code, signal, stderr } = await studio([path.join(work, "runs"), "--threads", "1", "--judge", "coin", "--json"], async (url) => {
      assert.match(await (await fetch(url)).text(), /<title>vequinox studio<\/title>/)
      const overview = await (await fetch(`${url}api/runs/first`)).json() as any
      assert.deepStrictEqual(overview.policies, ["base", "step-1", "adapter"])
      assert.deepStrictEqual(overview.judges, ["clip", "coin"])
      assert.isNull(overview.noPlayground)
      const draw = { prompts: ["a red pelican", "a blue cat"], temperature: 0.7, seed: 3, n: 2 }
      const together = (await post(`${url}api/runs/first/draw`, { ...draw, policies: ["base", "step-1", "adapter"] })).body.drawings
      assert.deepStrictEqual(together.map(({ index, policy, prompt }: any) => `${policy} ${prompt} ${index}`), ["base", "step-1", "adapter"].flatMap((policy) =>
        draw.prompts.flatMap((prompt) => [0, 1].map((index) => `${policy} ${prompt} ${index}`))))
      const alone = (await post(`${url}api/runs/first/draw`, { ...draw, policies: ["step-1"] })).body.drawings
      assert.deepStrictEqual(alone, together.filter(({ policy }: any) => policy === "step-1")) // whatever is drawn beside it
      assert.notDeepEqual(alone.map(({ svg }: any) => svg), together.filter(({ policy }: any) => policy === "base").map(({ svg }: any) => svg))
      const [left, right] = ["red", "blue"].map((colour) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="20" fill="${colour}"/></svg>`)
      const judged = await post(`${url}api/runs/first/judge`, { prompt: "a red circle", left, right, judge: "clip" })
      assert.strictEqual(judged.body.outcome, "A")
      const swapped = await post(`${url}api/runs/first/judge`, { prompt: "a red circle", left: right, right: left, judge: "clip" })
      assert.deepStrictEqual([swapped.body.outcome, swapped.body.scores.left], ["B", judged.body.scores.right])
      const invalid = await post(`${url}api/runs/first/judge`, { prompt: "a red circle", left: "<svg", right, judge: "clip" })
      assert.deepInclude(invalid.body, { outcome: "B", by: "gate" })
      assert.match((await post(`${url}api/runs/first/judge`, { prompt: "a", left, right, judge: "claude" })).body.error.message, /asks no judge "claude"/)
      assert.match((await post(`${url}api/runs/first/draw`, { ...draw, policies: ["step-9"] })).body.error.message, /no policy "step-9"/)
      assert.match((await post(`${url}api/runs/first/draw`, { ...draw, prompts: ["x ".repeat(900)], policies: ["base"] })).body.error.message, /reads \d+ at most/)
      assert.match((await post(`${url}api/steer`, { pause: true })).body.error.message, /trains nothing/)
    })
    assert.isTrue(code === 130 || signal === "SIGINT", `${code} ${signal} ${stderr}`)
    assert.notInclude(stderr, "    at ")
    assert.deepStrictEqual(fs.readdirSync(run).filter((name) => name.endsWith(".db")), ["run.db"]) // it wrote nothing
  }, 180_000)

  it("refuses in one sentence what it cannot show", async () => {
    const refused = async (args: ReadonlyArray<string>, said: RegExp) => {
      const { code, stderr } = await studio([...args, "--json"], (out) => Promise.reject(new Error(out)))
      assert.strictEqual(code, 1)
      assert.match(stderr, said)
      assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
    }
    await refused(["."], /holds no run: give a run folder/)
    await refused(["runs", "--judge", "oracle"], /There is no judge "oracle"/)
  }, 180_000)
})
