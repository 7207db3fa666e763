/**
 * `vequinox train --store postgres`, killed twice and with its server killed once, comes to what a run with run.db comes to when it
 * is left alone, and pays its judge for nothing twice.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as pause } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type ClaudeServer, startClaudeServer } from "../support/claude-server.ts"
import { bareRun, commandLine } from "../support/command-line.ts"
import { hasPostgres, type PostgresServer, startPostgres } from "./server.ts"

const main = path.resolve(import.meta.dirname, "../../src/main.ts")
const steps = 5
const settings = [
  ...bareRun, "--steps", String(steps), "--seed", "5", "--prompts-per-step", "2", "--num-generations", "3", "--max-new-tokens", "120", "--max-staleness", "1",
  "--save-steps", "2", "--trust-pairs", "0", "--judge", "claude", "--render-size", "64"
]

/** What must be equal whatever happened on the way. */
const tables = {
  rollouts: "step, policy_version",
  candidates: "step, prompt_id, idx, prompt, policy_version, seed, hex(prompt_ids), hex(completion_ids), hex(logps), svg, finish, rendering, reason, picture_hash",
  verdicts: "step, prompt_id, a, b, outcome, confidence, judged_by, reason, cost_usd",
  lessons: "step, prompt_id, candidate, rejected, signal, weight, consumed_by_step, dropped_at_step",
  costs: "step, judged_by, answers, usd",
  judgments: "step, prompt_id, shown, judge, verdicts",
  checkpoints: "step, sha256, pairs, cost_usd"
}

describe.skipIf(!hasPostgres)("train --store postgres", () => {
  const { remove, vequinox, work } = commandLine()
  const judges: Array<ClaudeServer> = []
  let postgres: PostgresServer
  let said = ""
  const children: Array<string> = []
  beforeAll(async () => {
    postgres = await startPostgres()
    await postgres.start()
  })
  afterAll(async () => {
    for (const { close } of judges) await close()
    await postgres?.remove()
    remove()
  })

  const judge = async (): Promise<ClaudeServer> => {
    judges.push(await startClaudeServer({ idempotent: true, latency: 100 }))
    return judges.at(-1)!
  }
  let caches = 0
  /** No cache of answers is shared between processes: what is not paid twice was in the run's own store. */
  const train = (judge: ClaudeServer, args: ReadonlyArray<string>, onStep: (n: number, child: ChildProcess) => void = () => {}) =>
    new Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>((resolve) => {
      const child = spawn(process.execPath, [main, "train", ...args, "--json", "--judge-cache", path.join(work, `answers-${caches++}.db`)], {
        cwd: work,
        env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache"), ANTHROPIC_API_KEY: "sk-test", ANTHROPIC_BASE_URL: judge.url, DATABASE_URL: postgres.url }
      })
      let [stdout, stderr, lines] = ["", "", 0]
      child.stdout.on("data", (text) => {
        stdout += text
        for (const now = stdout.split("\n").length - 1; lines < now;) onStep(lines++, child)
      })
      child.stderr.on("data", (text) => (stderr += text))
      child.on("close", (code) => {
        said += stdout + stderr
        resolve({ code, stdout, stderr })
      })
    })

  const timeless = (run: string) => fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8").replace(/"seconds\/\w+":[\d.e-]+,?/g, "")
  const cameTo = (run: string) => ({
    adapter: fs.readFileSync(path.join(run, "adapter/adapter_model.safetensors")).toString("base64"),
    preferences: fs.readFileSync(path.join(run, "preferences.jsonl"), "utf8"),
    metrics: timeless(run)
  })
  const environments = (child: ChildProcess): ReadonlyArray<string> =>
    fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
      try {
        const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(fs.readFileSync(`/proc/${pid}/stat`, "utf8"))!
        return Number(parent) === child.pid ? [fs.readFileSync(`/proc/${pid}/environ`, "utf8")] : []
      } catch {
        return []
      }
    })

  it("comes to the same adapter, bit for bit, struck or not, as with run.db; no judgment is paid twice", async () => {
    const [whole, struck] = [path.join(work, "whole"), path.join(work, "struck")]
    const atWhole = await judge()
    assert.strictEqual((await train(atWhole, ["--out", whole, ...settings])).code, 0)

    const atStruck = await judge()
    let kills = 0
    const kill = (child: ChildProcess, after: number) => void setTimeout(() => (kills++, child.kill("SIGKILL")), after)
    await train(atStruck, ["--out", struck, "--store", "postgres", ...settings], (n, child) => {
      if (n !== 0) return
      children.push(...environments(child))
      kill(child, 200)
    })
    // A copy of the folder is the same run, and it has a trainer already.
    let refused: Awaited<ReturnType<typeof train>> | undefined
    let asking: Promise<unknown> = Promise.resolve()
    await train(atStruck, ["--resume", struck], (n, child) => {
      if (n !== 0) return
      const copy = path.join(work, "copy")
      fs.cpSync(struck, copy, { recursive: true })
      child.kill("SIGSTOP") // it would be done too soon
      asking = train(atStruck, ["--resume", copy]).then((ended) => {
        refused = ended
        child.kill("SIGCONT")
        kill(child, 300)
      })
    })
    await asking
    assert.match(refused!.stderr, /^vequinox: Another process is training run [\w-]+: wait until it has ended, or end it first\.\n$/)
    // The server is killed while the run goes on, and started again: the run waits.
    const last = await train(atStruck, ["--resume", struck], (n) => {
      if (n === 0) void postgres.strike("all").then(() => pause(1500)).then(postgres.start)
    })
    assert.deepStrictEqual([last.code, kills], [0, 2], last.stderr)

    assert.deepStrictEqual(cameTo(struck), cameTo(whole))
    assert.deepStrictEqual([...new Set(atStruck.charged.values())], [1])
    assert.deepStrictEqual([...atStruck.charged.keys()].sort(), [...atWhole.charged.keys()].sort())
    const { costUsd, faults } = JSON.parse(fs.readFileSync(path.join(struck, "summary.json"), "utf8"))
    assert.isAtMost(atStruck.replayed(), faults["judge/in_doubt"] ?? 0) // only what was on its way when a process died
    assert.isAtLeast(costUsd, atStruck.billed().usd - 1e-9)
    assert.strictEqual(faults["run/resumed"], 2)
    console.log(`${atStruck.charged.size} answers charged once, ${atStruck.replayed()} sent again`)
  })

  it("leaves a run.db of the same rows, which all commands read", async () => {
    const rows = (run: string) => {
      const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true })
      const found = Object.fromEntries(Object.entries(tables).map(([table, columns]) => [table, db.prepare(`SELECT ${columns} FROM ${table}`).all().map((row) => JSON.stringify(row)).toSorted()]))
      db.close()
      return found
    }
    assert.deepStrictEqual(rows(path.join(work, "struck")), rows(path.join(work, "whole")))
    const inspect = async (run: string) => (await vequinox({}, "inspect", path.join(work, run))).stdout.split("\n").filter((line) => /^(Steps|Last step|Drawings)/.test(line))
    const told = await inspect("struck")
    assert.strictEqual(told.length, 3)
    assert.deepStrictEqual(told, await inspect("whole"))
  })

  it("says of a run that goes on where it is kept, and refuses a studio of it", async () => {
    assert.match((await vequinox({}, "inspect", path.join(work, "copy"))).stderr, /^vequinox: .*\/copy is kept in Postgres until it ends: then it gets a run\.db that can be read here\./)
    const { stderr } = await vequinox({ DATABASE_URL: postgres.url }, "train", "--studio", "--store", "postgres", "--out", path.join(work, "watched"))
    assert.match(stderr, /^vequinox: --studio reads run\.db, which a run in Postgres gets when it ends/)
    assert.isFalse(fs.existsSync(path.join(work, "watched")))
  })

  it("shows the database's password to nobody", () => {
    assert.isAbove(children.length, 0)
    const files = fs.readdirSync(work, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name, parentPath }) => path.join(parentPath, name))
    assert.isTrue(files.some((file) => file.endsWith("struck/config.json")))
    for (const file of files) assert.isFalse(fs.readFileSync(file).includes(postgres.password), file)
    for (const text of [said, ...children]) assert.notInclude(text, postgres.password)
  })

  it("goes on nowhere else: with run.db, or in a database that does not hold it", async () => {
    const { stderr } = await train(judges[0]!, ["--resume", path.join(work, "struck"), "--store", "sqlite"])
    assert.match(stderr, /--store was "postgres" and is "sqlite"/)
    postgres.sql("CREATE DATABASE other")
    const url = postgres.url
    Object.assign(postgres, { url: url.replace(/postgres$/, "other") })
    const elsewhere = await train(judges[0]!, ["--resume", path.join(work, "struck")])
    Object.assign(postgres, { url })
    assert.match(elsewhere.stderr, /^vequinox: The database .*\/other does not hold run [\w-]+, which began in another: name that one in DATABASE_URL\.\n$/)
  })
})
