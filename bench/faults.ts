/**
 * `vequinox train --judge claude` as a whole against a loopback server, with and without faults of every kind. The bound is
 * the time without faults, and what the faults cost any client: the time for which the server held more, at 32 calls at
 * once, and for which it asked everybody to wait. `ratio` is the time taken beside that bound.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { startClaudeServer } from "../test/support/claude-server.ts"

const settings = ["--steps", "6", "--prompts-per-step", "12", "--k", "3", "--eval-prompts", "8", "--judge-timeout", "3"]
const atOnce = 32
const latency = 500

const once = async (faults: number) => {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
  const server = await startClaudeServer({ faults, latency, retryAfter: latency, seed: 3 })
  try {
    const started = performance.now()
    const code = await new Promise((resolve) =>
      spawn(
        process.execPath,
        ["src/main.ts", "train", "--judge", "claude", ...settings, "--out", path.join(work, "run"), "--judge-cache", path.join(work, "answers.db"), "--json"],
        { env: { ...process.env, ANTHROPIC_API_KEY: "bench", ANTHROPIC_BASE_URL: server.url }, stdio: "ignore" }
      ).on("exit", resolve)
    )
    const seconds = (performance.now() - started) / 1000
    const read = (name: string) => fs.readFileSync(path.join(work, "run", name), "utf8")
    const rows = read("metrics.jsonl").trim().split("\n").map((line) => JSON.parse(line) as Record<string, number>)
    const sum = (name: string) => rows.reduce((total, row) => total + (row[name] ?? 0), 0)
    return {
      completed: code === 0,
      seconds,
      pairs: sum("judge/asked"),
      lost: sum("judge/failed"),
      requests: server.requests(),
      kinds: Object.keys(server.faults()).length,
      billedUsd: server.billed().usd,
      bookedUsd: (JSON.parse(read("summary.json")) as { readonly costUsd: number }).costUsd,
      ...server.busy()
    }
  } finally {
    await server.close()
    fs.rmSync(work, { recursive: true, force: true })
  }
}

export const benchFaults = async () => {
  const free = await once(0)
  const rows = [{ faults: 0, ...free, bound: free.seconds, ratio: 1 }]
  for (const faults of [0.1, 0.3, 0.6]) {
    const row = await once(faults)
    const bound = free.seconds + Math.max(0, row.held - free.held) / atOnce + row.asked
    rows.push({ faults, ...row, bound, ratio: row.seconds / bound })
  }
  return rows
}
