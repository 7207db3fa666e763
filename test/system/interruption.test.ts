/** Ctrl-C and SIGTERM on the real command line, at moments spread over a run's life. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { commandLine } from "../support/command-line.ts"

const { remove, work } = commandLine()
afterAll(remove)
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Processes that this one has started and that still run; none where there is no /proc. */
const childrenOf = (parent: number): ReadonlyArray<number> =>
  !fs.existsSync("/proc") ? [] : fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => stat(pid)?.parent === parent)

const stat = (pid: number) => {
  try {
    const [state, parent] = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")
    return { state, parent: Number(parent) }
  } catch {
    return undefined
  }
}
/** A zombie has ended; who inherited it has not noticed yet. */
const runs = (pid: number) => (stat(pid)?.state ?? "Z") !== "Z"

interface Run {
  readonly child: ChildProcess
  readonly out: string
  readonly said: () => string
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null; readonly at: number }>
  /** Waits until it holds; fails when the process ends before. */
  readonly until: (test: () => boolean) => Promise<void>
  readonly steps: () => number
}

const train = (name: string, steps = 200): Run => {
  const out = path.join(work, name)
  const child = spawn(
    process.execPath,
    [path.resolve(import.meta.dirname, "../../src/main.ts"), ...`train --steps ${steps} --prompts-per-step 4 --k 3 --eval-prompts 12 --save-steps 2 --threads 1 --out`.split(" "), out],
    { cwd: work, env: { PATH: process.env["PATH"] } }
  )
  let said = ""
  child.stderr.on("data", (part) => (said += part))
  const ended = new Promise<{ code: number | null; signal: string | null; at: number }>((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal, at: performance.now() })))
  const read = (file: string) => fs.existsSync(path.join(out, file)) ? fs.readFileSync(path.join(out, file), "utf8") : ""
  return {
    child,
    out,
    said: () => said,
    ended,
    until: async (test) => {
      while (!test()) {
        assert.isNull(child.exitCode, said)
        await pause(5)
      }
    },
    steps: () => read("metrics.jsonl").split("\n").length - 1
  }
}

/** Two at a time: what is measured is a run, not a crowd of them. */
let free = 2
const inTurn = async (test: () => Promise<void>) => {
  while (free === 0) await pause(20)
  free--
  await test().finally(() => free++)
}

/** What must be true of a folder that a run has left, whenever it was stopped. */
const checkFolder = (out: string): void => {
  const db = path.join(out, "run.db")
  if (fs.existsSync(db)) {
    const opened = new DatabaseSync(db)
    assert.deepStrictEqual(Object.values(opened.prepare("PRAGMA integrity_check").get()!), ["ok"])
    opened.close()
  }
  const checkpoints = path.join(out, "checkpoints")
  for (const name of fs.existsSync(checkpoints) ? fs.readdirSync(checkpoints) : []) {
    const file = (at: string) => path.join(checkpoints, name, at)
    const state = JSON.parse(fs.readFileSync(file("state.json"), "utf8"))
    assert.strictEqual(createHash("sha256").update(fs.readFileSync(file("adapter_model.safetensors"))).digest("hex"), state.sha256)
    assert.strictEqual(state.version, state.updates, "weights and version are of one step")
  }
}

describe.concurrent("an interrupted run", () => {
  const moments: ReadonlyArray<readonly [string, NodeJS.Signals, (run: Run) => Promise<unknown>, steps: number]> = [
    ["while its sessions are made", "SIGINT", ({ out, until }) => until(() => fs.existsSync(path.join(out, "config.json"))), 200],
    ["while it draws", "SIGINT", ({ said, until }) => until(() => said().includes(": 200 steps")).then(() => pause(300)), 200],
    ["while it trains its first step", "SIGTERM", ({ out, until }) => until(() => fs.existsSync(path.join(out, "run.db"))).then(() => pause(150)), 200],
    ["in its second step", "SIGINT", ({ steps, until }) => until(() => steps() >= 1).then(() => pause(70)), 200],
    ["while it compares the policies", "SIGINT", ({ said, until }) => until(() => said().includes("Comparing")).then(() => pause(300)), 1]
  ]
  it.each(moments)("ends %s: at once, clean, in one sentence (%s)", (name, signal, moment, steps) => inTurn(async () => {
    const run = train(name.replaceAll(/\W+/g, "-"), steps)
    await moment(run)
    const children = childrenOf(run.child.pid!)
    const at = performance.now()
    run.child.kill(signal)
    const ended = await run.ended
    assert.isBelow(ended.at - at, 5000, run.said())
    assert.strictEqual(ended.code, signal === "SIGINT" ? 130 : 143, run.said())
    assert.strictEqual(run.said().trimEnd().split("\n").at(-1), "vequinox: interrupted; nothing was left running.")
    assert.notMatch(run.said(), /\n\s+at |rror/)
    assert.deepStrictEqual(children.filter(runs), [])
    checkFolder(run.out)
  }))

  it("ends at once, children and all, at a second Ctrl-C", () => inTurn(async () => {
    const run = train("twice")
    await run.until(() => run.steps() >= 1)
    const children = childrenOf(run.child.pid!)
    run.child.kill("SIGINT")
    await pause(20)
    const at = performance.now()
    run.child.kill("SIGINT")
    const ended = await run.ended
    assert.isBelow(ended.at - at, 1500)
    assert.isTrue(ended.code === 130 || ended.signal === "SIGINT")
    for (let waited = 0; waited < 2000 && children.some(runs); waited += 50) await pause(50)
    assert.deepStrictEqual(children.filter(runs), [])
    checkFolder(run.out)
  }))

  it("ends before it has begun", () => inTurn(async () => {
    const run = train("early")
    await pause(150)
    run.child.kill("SIGINT")
    const { code, signal } = await run.ended
    assert.isTrue(code === 130 || signal === "SIGINT")
    assert.isFalse(fs.existsSync(run.out))
  }))
})
