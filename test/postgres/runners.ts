/** Runners of a run that is spread: real processes, each with a cache of its own, as on machines of their own. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as pause } from "node:timers/promises"

const main = path.resolve(import.meta.dirname, "../../src/main.ts")

export interface Runner {
  readonly child: ChildProcess
  /** All of its stderr so far. */
  readonly said: () => string
  readonly ended: Promise<number | null>
}

let started = 0

export const runnersIn = (work: string, env: Readonly<Record<string, string>>) => {
  const all: Array<Runner> = []
  const start = (...args: ReadonlyArray<string>): Runner => {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, `cache-${started++}`), ...env },
      stdio: ["ignore", "ignore", "pipe"]
    })
    let said = ""
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (said += text))
    const runner = { child, said: () => said, ended: new Promise<number | null>((resolve) => child.on("close", resolve)) }
    all.push(runner)
    return runner
  }
  return {
    start,
    /** Of those that are alive, the one that said last that it trains. */
    trainer: () => all.filter(({ child, said }) => child.exitCode === null && child.signalCode === null && said().includes("This runner trains")).at(-1),
    killAll: () => all.forEach(({ child }) => child.kill("SIGKILL"))
  }
}

/** Looks ten times a second; fails with what the runners said. */
export const until = async <A>(what: string, look: () => A | undefined | false, told: () => string = () => "", seconds = 240): Promise<A> => {
  for (let n = 0; n < seconds * 10; n++) {
    const found = look()
    if (found !== undefined && found !== false) return found
    await pause(100)
  }
  throw new Error(`${what} did not come. ${told()}`)
}

export const stepsIn = (run: string): number => {
  const file = path.join(run, "metrics.jsonl")
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").length - 1 : 0
}

export const adapterOf = (run: string): string =>
  createHash("sha256").update(fs.readFileSync(path.join(run, "adapter/adapter_model.safetensors"))).digest("hex")
