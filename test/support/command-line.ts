/** The command line as people meet it: real processes in a folder of their own, without this process's environment. */
import { execFile, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert } from "vitest"

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** `work`: the folder, its cache inside; `vequinox`: runs a command there; `remove`: afterwards. */
export const commandLine = () => {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-cli-"))
  const main = path.resolve(import.meta.dirname, "../../src/main.ts")
  const vequinox = (env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>): Promise<Ended> =>
    new Promise((resolve) =>
      execFile(
        process.execPath,
        [main, ...args],
        { cwd: work, env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache"), ...env }, maxBuffer: 1e8 },
        (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr })
      )
    )
  return { work, vequinox, remove: () => fs.rmSync(work, { recursive: true, force: true }) }
}

/**
 * For a run that is about something else: no comparison at its end, which takes as long as many steps, and one thread,
 * since the tests that run side by side fill the cores.
 */
export const bareRun: ReadonlyArray<string> = ["--eval-prompts", "0", "--threads", "1"]

/** The shortest comparison, of a run that is about more than that; with one thread, as above. */
export const briefRun: ReadonlyArray<string> = ["--eval-prompts", "4", "--eval-temperatures", "1", "--eval-best-of", "0", "--threads", "1"]

export interface Killed {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs commands in this folder; with `until`, a command is killed once its stdout holds `said` that many times. */
export const killableIn = (work: string) => (args: ReadonlyArray<string>, until?: { readonly said: string; readonly times: number }): Promise<Killed> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [path.resolve(import.meta.dirname, "../../src/main.ts"), ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"] }
    })
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (text) => {
      stdout += text
      if (until !== undefined && stdout.split(until.said).length > until.times) child.kill("SIGKILL")
    })
    child.stderr.on("data", (text) => (stderr += text))
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })

/** Runs a command in this folder and kills it as soon as that file is there. */
export const killedAt = (work: string, file: string, args: ReadonlyArray<string>): Promise<void> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [path.resolve(import.meta.dirname, "../../src/main.ts"), ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"] }
    })
    const look = setInterval(() => {
      if (!fs.existsSync(file)) return
      clearInterval(look)
      child.kill("SIGKILL")
    }, 5)
    child.on("close", () => (clearInterval(look), resolve()))
  })

/** A command that must fail, in one sentence that does not hold the secret. */
export const refusedInOneLine = async (result: Promise<Ended>, expected: RegExp, secret: string): Promise<void> => {
  const { code, stderr, stdout } = await result
  assert.notStrictEqual(code, 0, stdout)
  assert.match(stderr, expected)
  assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
  assert.notInclude(stderr + stdout, secret)
}
