/**
 * A real training run (onnxruntime, the embedded model, a judge server on a real socket) that is killed at random
 * instants and resumed until it ends, and all that must then be as if nothing had happened.
 */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { startClaudeServer } from "../claude-server.ts"

const main = path.resolve(import.meta.dirname, "../../src/main.ts")

export interface SurvivalOptions {
  /** A folder of its own. */
  readonly folder: string
  readonly steps: number
  readonly maxStaleness: number
  readonly saveSteps: number
  /** Seconds after which a process is killed, one a process; undefined lets it end. */
  readonly killAfter: (process: number) => number | undefined
  /** More settings, as flags. */
  readonly flags?: ReadonlyArray<string>
}

export interface Survived {
  readonly kills: number
  /** Seconds of the last process. */
  readonly seconds: number
  /** SHA-256 of the final adapter. */
  readonly adapter: string
  /** Of metrics.jsonl without the clock's numbers, of preferences.jsonl, and of the run's verdicts and trained pairs. */
  readonly lines: string
  /** Questions that were charged, and how often in all. */
  readonly questions: number
  readonly charges: number
  /** Answers that the server had to give twice, as their first asker was killed before it could keep them. */
  readonly replayed: number
  /** Where in its work each process was killed. */
  readonly killedAt: ReadonlyArray<string>
}

const start = (folder: string, env: Readonly<Record<string, string>>, args: ReadonlyArray<string>, killAfter: number | undefined) =>
  new Promise<{ readonly code: number | null; readonly output: string }>((resolve) => {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: folder,
      env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(folder, "cache"), ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let output = ""
    child.stdout.on("data", (text: Buffer) => (output += text.toString()))
    child.stderr.on("data", (text: Buffer) => (output += text.toString()))
    const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfter * 1000)
    child.on("close", (code) => {
      clearTimeout(timer)
      resolve({ code, output })
    })
  })

const hash = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex")
const linesOf = (file: string): ReadonlyArray<string> => fs.readFileSync(file, "utf8").split("\n").filter((line) => line !== "")

const need = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}

/** Every fact of the database that must hold of a run that has ended. */
const audit = (run: string, steps: number): string => {
  const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true })
  const all = (sql: string) => db.prepare(sql).all()
  const one = (sql: string) => Number(Object.values(db.prepare(sql).get()!)[0])
  try {
    need(one("SELECT count(*) FROM reports") === steps, "a step has no report")
    need(one("SELECT count(*) FROM preferences WHERE (consumed_by_step IS NULL) = (dropped_at_step IS NULL)") === 0, "a pair was lost, or both used and dropped")
    const asked = one("SELECT count(*) FROM verdicts WHERE judged_by <> 'gate'")
    need(one("SELECT count(*) FROM judgments") === asked, "judgments and verdicts differ in number")
    need(one("SELECT count(*) FROM (SELECT DISTINCT step, prompt_id, shown FROM judgments)") === asked, "a pair was judged twice")
    need(one(`SELECT count(*) FROM checkpoints WHERE step = ${steps}`) === 1, "the last checkpoint is not committed")
    need(one("SELECT count(*) FROM calls WHERE state = 'asked'") === 0, "a call has no end")
    return hash(JSON.stringify([
      all("SELECT step, prompt_id, idx, svg, rendering, picture_hash FROM candidates ORDER BY 1, 2, 3"),
      all("SELECT step, prompt_id, a, b, outcome, confidence, judged_by, reason FROM verdicts ORDER BY 1, 2, 3, 4"),
      all("SELECT step, prompt_id, chosen, rejected, label, weight, consumed_by_step, dropped_at_step FROM preferences ORDER BY 1, 2, 3, 4")
    ]))
  } finally {
    db.close()
  }
}

/** metrics.jsonl without what the clock says, and what calls in doubt make of the costs. */
const timeless = (line: string): string =>
  JSON.stringify(Object.entries(JSON.parse(line) as object).filter(([name]) => !/^seconds\/|^judge\/cost_usd$/.test(name)))

/** Where the run stood, from what it left. */
const standing = (run: string): string => {
  if (!fs.existsSync(path.join(run, "config.json"))) return "nothing yet"
  if (fs.existsSync(path.join(run, "report.html"))) return "report written"
  if (fs.existsSync(path.join(run, "summary.json"))) return "summary written"
  if (fs.existsSync(path.join(run, "adapter"))) return "adapter written"
  if (!fs.existsSync(path.join(run, "metrics.jsonl"))) return "start-up"
  const steps = linesOf(path.join(run, "metrics.jsonl")).length
  return `after step ${steps}`
}

export const survive = async (o: SurvivalOptions): Promise<Survived> => {
  const server = await startClaudeServer({ latency: 20, idempotent: true })
  const run = path.join(o.folder, "run")
  const env = { ANTHROPIC_API_KEY: "sk-test", ANTHROPIC_BASE_URL: server.url }
  const begin = [
    "train", "--steps", String(o.steps), "--prompts-per-step", "4", "--k", "3", "--eval-prompts", "4", "--max-new-tokens", "120",
    "--judge", "claude", "--budget-usd", "1000", "--max-staleness", String(o.maxStaleness), "--save-steps", String(o.saveSteps),
    "--out", run, ...o.flags ?? []
  ]
  const killedAt: Array<string> = []
  try {
    for (let n = 0;; n++) {
      const resumed = fs.existsSync(path.join(run, "config.json"))
      const started = performance.now()
      const { code, output } = await start(o.folder, env, resumed ? ["train", "--resume", run] : begin, o.killAfter(n))
      if (code === null) {
        killedAt.push(standing(run))
        continue
      }
      need(code === 0, `process ${n} failed: ${output}`)
      const seconds = (performance.now() - started) / 1000
      const metrics = linesOf(path.join(run, "metrics.jsonl"))
      need(metrics.every((line, step) => JSON.parse(line).step === step) && metrics.length === o.steps, "metrics.jsonl does not have each step once")
      const { faults } = JSON.parse(fs.readFileSync(path.join(run, "summary.json"), "utf8"))
      need((faults["judge/in_doubt"] ?? 0) >= server.replayed(), "a call in doubt was not counted")
      return {
        kills: killedAt.length,
        seconds,
        adapter: hash(fs.readFileSync(path.join(run, "adapter/adapter_model.safetensors"))),
        lines: hash(JSON.stringify([metrics.map(timeless), linesOf(path.join(run, "preferences.jsonl")), audit(run, o.steps)])),
        questions: server.charged.size,
        charges: [...server.charged.values()].reduce((sum, times) => sum + times, 0),
        replayed: server.replayed(),
        killedAt
      }
    }
  } finally {
    await server.close()
  }
}
