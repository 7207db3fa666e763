/** A run over several processes and a real Postgres comes to what it comes to in one process, whoever is killed, and pays once. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, afterEach, assert, beforeAll, describe, it } from "vitest"
import { bareRun, commandLine } from "../support/command-line.ts"
import { type ClaudeServer, startClaudeServer } from "../support/claude-server.ts"
import { adapterOf, type Runner, runnersIn, stepsIn, until } from "./runners.ts"
import { hasPostgres, type PostgresServer, startPostgres } from "./server.ts"

const steps = 6
const settings = ["--steps", String(steps), "--prompts-per-step", "4", "--k", "3", "--judge", "claude", "--seed", "5", "--save-steps", "2", ...bareRun]

describe.skipIf(!hasPostgres)("a run that is spread", () => {
  const { remove, vequinox, work } = commandLine()
  const at = (run: string) => path.join(work, run)
  let postgres: PostgresServer
  let claude: ClaudeServer
  let alone: { readonly adapter: string; readonly answers: number }
  let env: Readonly<Record<string, string>>
  let runners: ReturnType<typeof runnersIn>

  const judge = async (latency: number) => {
    claude = await startClaudeServer({ idempotent: true, latency })
    env = { DATABASE_URL: postgres.url, ANTHROPIC_API_KEY: "sk-ant-of-the-test", ANTHROPIC_BASE_URL: claude.url }
    runners = runnersIn(work, env)
  }
  beforeAll(async () => {
    postgres = await startPostgres()
    await postgres.start()
    await judge(0)
    const { code, stderr } = await vequinox(env, "train", ...settings, "--out", "alone")
    assert.strictEqual(code, 0, stderr)
    alone = { adapter: adapterOf(at("alone")), answers: claude.billed().answers }
    await claude.close()
  }, 600_000)
  afterEach(async () => {
    runners.killAll()
    await claude.close()
  })
  afterAll(async () => {
    await postgres?.remove()
    remove()
  })

  /** Everything drawn once, nothing paid twice by the judge's own ledger, and the same adapter. */
  const right = (run: string) => {
    assert.strictEqual(adapterOf(at(run)), alone.adapter)
    assert.deepStrictEqual([...claude.charged.values()].filter((times) => times !== 1), [])
    assert.strictEqual(claude.billed().answers, alone.answers)
    const id = JSON.parse(fs.readFileSync(path.join(at(run), "config.json"), "utf8")).run_id as string
    const count = (table: string) => Number(postgres.sql(`SELECT count(*) FROM vequinox.${table} t JOIN vequinox.runs r ON r.id = t.run WHERE r.name = '${id}'`))
    assert.deepStrictEqual([count("rollouts"), count("candidates"), count("reports")], [steps, steps * 4 * 3, steps])
    assert.strictEqual(postgres.sql(`SELECT count(*) FROM pg_tables JOIN vequinox.runs r ON tablename = format('run_%s_messages', r.id) WHERE r.name = '${id}'`), "0")
    assert.isFalse(fs.existsSync(path.join(at(run), "policies")))
  }

  it("outlives kill -9 of each of its three runners, the one that trains included", async () => {
    await judge(150)
    const told = () => working.map(({ said }, n) => `\n--- runner ${n}\n${said()}`).join("")
    const working: Array<Runner> = [runners.start("train", "--store", "postgres", "--spread", ...settings, "--out", "spread")]
    await until("config.json", () => fs.existsSync(at("spread/config.json")), told)
    const join = () => working.push(runners.start("join", "spread"))
    join()
    join()
    const killed = new Set<Runner>()
    const strike = async (runner: Runner) => {
      runner.child.kill("SIGKILL")
      killed.add(runner)
      await runner.ended
      join()
    }
    await until("all three", () => working.every(({ said }) => said().includes("draws, renders and judges")), told)
    await until("a step", () => stepsIn(at("spread")) >= 1, told)
    await strike(await until("one that trains", runners.trainer, told))
    for (const runner of working.slice(0, 3)) {
      if (killed.has(runner)) continue
      const before = claude.requests()
      await until("a judgment", () => claude.requests() > before + 3 || stepsIn(at("spread")) >= steps - 1, told)
      await strike(runner)
    }
    const codes = await Promise.all(working.filter((runner) => !killed.has(runner)).map(({ ended }) => ended))
    assert.deepStrictEqual([...new Set(codes)], [0], told())
    assert.strictEqual(killed.size, 3)
    right("spread")
  }, 1_200_000)

  it("ends on all runners in one sentence where the budget of them all is spent, and goes on with more", async () => {
    await judge(20)
    const first = runners.start("train", "--store", "postgres", "--spread", ...settings, "--out", "poor", "--budget-usd", "0.1")
    await until("the first", () => first.said().includes("draws, renders and judges"), first.said)
    const second = runners.start("join", "poor")
    const codes = await Promise.all([first.ended, second.ended])
    const spent = /^vequinox: The budget of \$0\.1.* has \$[\d.]+ left, and the next judgment could cost \$[\d.]+: raise --budget-usd to continue\.$/m
    for (const { said } of [first, second]) assert.match(said(), spent)
    assert.deepStrictEqual(codes, [1, 1])
    assert.isAtMost(claude.billed().usd, 0.1)
    const richer = runners.start("train", "--resume", "poor", "--spread", "--budget-usd", "5")
    assert.strictEqual(await richer.ended, 0, richer.said())
    right("poor")
  }, 1_200_000)

  it("waits for a database that starts again", async () => {
    await judge(50)
    const working = [runners.start("train", "--store", "postgres", "--spread", ...settings, "--out", "away")]
    const told = () => working.map(({ said }, n) => `\n--- runner ${n}\n${said()}`).join("")
    await until("the first", () => working[0]!.said().includes("draws, renders and judges"), told)
    working.push(runners.start("join", "away"))
    await until("a step", () => stepsIn(at("away")) >= 2, told)
    await postgres.strike("all")
    await postgres.start()
    assert.deepStrictEqual(await Promise.all(working.map(({ ended }) => ended)), [0, 0], told())
    right("away")
  }, 1_200_000)

  it("is handed over on Ctrl-C; the last runner says how to go on, and it goes on so", async () => {
    await judge(50)
    const first = runners.start("train", "--store", "postgres", "--spread", ...settings, "--out", "handed")
    await until("a step", () => stepsIn(at("handed")) >= 1, first.said)
    const second = runners.start("join", "handed")
    await until("the second", () => second.said().includes("draws, renders and judges"), second.said)
    first.child.kill("SIGINT")
    assert.strictEqual(await first.ended, 130, first.said())
    await until("that the second trains", () => second.said().includes("This runner trains"), second.said)
    const before = stepsIn(at("handed"))
    await until("another step", () => stepsIn(at("handed")) > before, second.said)
    second.child.kill("SIGINT")
    assert.strictEqual(await second.ended, 130, second.said())
    assert.include(second.said(), "No runner is left. Go on: vequinox join handed (or alone: vequinox train --resume handed)")
    assert.strictEqual((await vequinox(env, "train", "--resume", "handed")).code, 0)
    const { code, stderr } = await vequinox(env, "join", "handed")
    assert.deepStrictEqual([code, stderr.split(".")[0]], [0, "handed is finished"])
  }, 1_200_000)
})
