/** `--judge list`, `checklist` and `defects` as people meet them: real processes against a server on a real socket. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { JudgeSettings } from "../../src/wiring/judges/judge-row.ts"
import { judges } from "../../src/wiring/judges/judges.ts"
import { type ClaudeServer, startClaudeServer } from "../support/claude-server.ts"
import { bareRun, commandLine } from "../support/command-line.ts"

const { remove, vequinox: inFolder, work } = commandLine()
let server: ClaudeServer
beforeAll(async () => {
  server = await startClaudeServer()
})
afterAll(async () => {
  await server.close()
  remove()
})

const vequinox = (...args: ReadonlyArray<string>) =>
  inFolder({ ANTHROPIC_API_KEY: "sk-test", ANTHROPIC_BASE_URL: server.url }, ...args)
const written = (name: string, text: string) => {
  fs.writeFileSync(path.join(work, name), text)
  return path.join(work, name)
}
const circle = (colour: string) =>
  written(`${colour}.svg`, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="14" fill="${colour}"/></svg>`)
const ask = (judge: string, ...more: ReadonlyArray<string>) =>
  vequinox("judge", "--judge", judge, "--prompt", "one red circle", circle("blue"), circle("red"), "--json", ...more)

describe.concurrent("vequinox judge", () => {
  it("--judge list gives the verdict, the scores, the reason and the cost", async () => {
    const { code, stderr, stdout } = await ask("list")
    assert.strictEqual(code, 0, stderr)
    const { by, costUsd, reason, scores, verdict } = JSON.parse(stdout)
    assert.deepStrictEqual([verdict, by], ["B", "list"])
    assert.isAbove(scores[1], scores[0])
    assert.match(reason, /A is picture \d, \d+: measured/)
    assert.closeTo(costUsd, 2 * 0.0021, 1e-9)
  })

  it("--checklist-file takes the user's requirements, and says where they cannot be read", async () => {
    const good = written("good.json", JSON.stringify([{ prompt: "one red circle", requirements: ["Is the number of things right?"] }]))
    const { code, stderr, stdout } = await ask("checklist", "--checklist-file", good)
    assert.strictEqual(code, 0, stderr)
    assert.deepInclude(JSON.parse(stdout), { verdict: "B", scores: [0, 1], confidence: 1 })
    assert.match(JSON.parse(stdout).reason, /0 and 1 of 1 met \| only B: Is the number of things right\?/)
    const bad = written("bad.jsonl", `${JSON.stringify({ prompt: "a", requirements: ["x"] })}\n{"prompt": "b"}\n`)
    const refused = await ask("checklist", "--checklist-file", bad)
    assert.notStrictEqual(refused.code, 0)
    assert.match(refused.stderr, /bad\.jsonl, line 2: it needs "prompt" and a list of "requirements"/)
    assert.strictEqual(refused.stderr.trim().split("\n").length, 1, refused.stderr)
  })
}, 180_000)

it("vequinox train --judge defects says what it may cost, and costs as much as was billed", async () => {
  const before = server.billed().usd
  const out = path.join(work, "run")
  const { code, stderr, stdout } = await vequinox(
    "train", "--steps", "1", "--prompts-per-step", "3", "--k", "3", ...bareRun, "--judge", "defects", "--out", out
  )
  assert.strictEqual(code, 0, stderr)
  assert.match(stdout + stderr, /claude-haiku-4-5 may be asked 9 times for up to 9 pairs: about \$0\.02/)
  const summary = JSON.parse(fs.readFileSync(path.join(out, "summary.json"), "utf8"))
  assert.isAbove(summary.costUsd, 0)
  assert.closeTo(summary.costUsd, server.billed().usd - before, 1e-9)
}, 180_000)

it("calls at most: two a list, one a drawing, and for a checklist one a prompt", () => {
  const calls = (judge: string, k: number, judge_orders: 1 | 2 = 2) =>
    judges[judge]!.asks!({ judge_orders } as JudgeSettings, { prompts: 10, k, pairs: 10 * k * (k - 1) / 2 }).calls
  assert.strictEqual(calls("claude", 4), 120)
  assert.strictEqual(calls("list", 4), 20)
  assert.strictEqual(calls("list", 4, 1), 10)
  assert.strictEqual(calls("list", 12), 10 * 3 * 2)
  assert.strictEqual(calls("checklist", 4), 50)
  assert.strictEqual(calls("defects", 4), 40)
})
