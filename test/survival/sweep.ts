/**
 * SIGKILL, EIO or ENOSPC at every system call with which drive.ts changes its run folder, one kind of call at a time, by
 * strace: it counts the calls of each kind by themselves. `node test/survival/sweep.ts [kill|EIO|ENOSPC] [kinds] [how]`, where `how` is
 * what drive.ts takes: `late-rename`, `advantages`, `curriculum`.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { drive, type Driven, howOf } from "./drive.ts"

/** Calls that change what is on disk. */
const kinds = [
  "openat", "mkdir", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "chmod", "unlink", "unlinkat", "rmdir"
] as const
export type Kind = typeof kinds[number]

export type Blow = "kill" | "EIO" | "ENOSPC"

const driver = path.join(import.meta.dirname, "drive.ts")

export const hasStrace = (): boolean => spawnSync("strace", ["-V"]).status === 0

/** Compiled once, by a process that nobody counts, so that all others make the same calls. */
let compiled: string | undefined
const environment = () => {
  const known = compiled
  compiled ??= fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-compiled-"))
  const folder = compiled
  const env = { PATH: process.env["PATH"], NODE_COMPILE_CACHE: path.join(folder, "code") }
  if (known === undefined) {
    process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }))
    spawnSync(process.execPath, [driver, path.join(folder, "run")], { env })
  }
  return env
}

const strace = (folder: string, options: ReadonlyArray<string>, how: string) => {
  const { signal, status, stderr } = spawnSync(
    "strace",
    ["-qq", ...options, process.execPath, driver, folder, ...how.split(" ")],
    { encoding: "utf8", maxBuffer: 1e8, env: environment() }
  )
  return { killed: signal === "SIGKILL" || status === 137, status, stderr }
}

export interface Point {
  readonly kind: Kind
  /** Which of the calls of this kind, from 1. */
  readonly n: number
  /** The call as strace prints it. */
  readonly call: string
}

/** Calls of one run, alone, that touch its folder and change something: the main thread's, which does all of them. */
export const trace = (folder: string, how = ""): ReadonlyArray<Point> => {
  const file = `${folder}.trace`
  strace(folder, ["-y", "-o", file, "-e", `trace=${kinds.join()}`], how)
  const counts = new Map<string, number>()
  return fs.readFileSync(file, "utf8").split("\n").flatMap((line) => {
    const kind = /^(\w+)\(/.exec(line)?.[1] as Kind | undefined
    if (kind === undefined) return []
    const n = (counts.get(kind) ?? 0) + 1
    counts.set(kind, n)
    const changes = line.includes(folder) && (kind !== "openat" || line.includes("O_CREAT"))
    return changes ? [{ kind, n, call: line.replaceAll(folder, "") }] : []
  })
}

export interface Outcome {
  readonly points: number
  /** Points at which the blow fell: the others came in another order this time. */
  readonly struck: number
  /** Runs that said what was wrong and ended, of those that were refused something. */
  readonly said: number
  readonly wrong: ReadonlyArray<string>
}

/** Strikes one run at each of the points, then goes on with each and compares. */
export const sweep = async (work: string, points: ReadonlyArray<Point>, blow: Blow, how = ""): Promise<Outcome> => {
  const go = (folder: string): Promise<Driven> => Effect.runPromise(drive(folder, 2, howOf(how.split(" "))))
  fs.mkdirSync(path.join(work, "whole"))
  const { result } = await go(path.join(work, "whole"))
  const wrong: Array<string> = []
  let [struck, said] = [0, 0]
  for (const { call, kind, n } of points) {
    const folder = path.join(work, `${kind}-${n}`)
    const inject = blow === "kill" ? "signal=KILL" : `error=${blow}`
    const ended = strace(folder, ["-o", "/dev/null", "-e", `trace=${kind}`, "-e", `inject=${kind}:${inject}:when=${n}`], how)
    const at = `${blow} at ${call}`
    if (blow === "kill" ? ended.killed : ended.status !== 0) struck++
    if (blow !== "kill" && ended.status !== 0) {
      const lines = ended.stderr.trim().split("\n")
      if (lines.length === 1 && !/undefined|\[object|    at /.test(ended.stderr)) said++
      else wrong.push(`${at}: it said ${ended.stderr}`)
    }
    fs.mkdirSync(folder, { recursive: true })
    try {
      const again = await go(folder)
      if (again.refused.length > 0) wrong.push(`${at}: ${again.refused.join("; ")}`)
      if (again.result !== result) wrong.push(`${at}: another result, from step ${again.from}`)
    } catch (error) {
      wrong.push(`${at}: it does not go on: ${(error as Error).message}`)
    }
    fs.rmSync(folder, { recursive: true, force: true })
  }
  return { points: points.length, struck, said, wrong }
}

if (import.meta.main) {
  const [blow = "kill", only = kinds.join(), how = ""] = process.argv.slice(2)
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-sweep-"))
  const all = trace(path.join(work, "traced"), how)
  console.log(`${all.length} points: ${kinds.map((kind) => `${all.filter((point) => point.kind === kind).length} ${kind}`).join(", ")}`)
  for (const kind of only.split(",")) {
    const points = all.filter((point) => point.kind === kind)
    const under = path.join(work, kind)
    fs.mkdirSync(under)
    const { said, struck, wrong } = await sweep(under, points, blow as Blow, how)
    console.log(`${blow} at ${kind}: ${points.length} points, ${struck} struck, ${blow === "kill" ? "" : `${said} said why, `}${wrong.length} wrong`)
    for (const line of wrong) console.log(`  ${line}`)
    if (wrong.length > 0) process.exitCode = 1
  }
  fs.rmSync(work, { recursive: true, force: true })
}
