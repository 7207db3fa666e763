/**
 * A pool of renderer processes, plain promises. Each process works on one drawing and has the next one waiting. A watchdog
 * ends a process that takes too much CPU time or memory; the drawing it worked on is to blame, the waiting one moves on.
 */
import { type ChildProcess, fork } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { KillReason } from "../src/domain.ts"
import type { RenderAnswer, RenderCall } from "./renderer-resvg-child.ts"

export interface PoolOptions {
  readonly processes: number
  /** Pixels of a side. */
  readonly size: number
  /** CPU seconds a drawing may take. */
  readonly deadline: number
  /** Seconds by the clock after which a drawing is given up even if it got no CPU time. */
  readonly patience: number
  /** Resident bytes a process may hold. */
  readonly memory: number
  /** Drawings after which a process is replaced by a fresh one. */
  readonly recycleAfter: number
}

export type PoolResult =
  | { readonly _tag: "Pixels"; readonly rgba: Uint8Array }
  | { readonly _tag: "Error"; readonly message: string }
  | { readonly _tag: "Killed"; readonly reason: KillReason; readonly detail: string }

interface Job {
  readonly svg: string
  readonly resolve: (result: PoolResult) => void
}

interface Member {
  readonly child: ChildProcess
  /** In the order sent; the first one is being rendered. */
  readonly jobs: Array<Job & { readonly id: number }>
  done: number
  /** When the first job began, by the clock and by the process's CPU time. */
  since: number
  cpu: number | undefined
  killed: { readonly reason: KillReason; readonly detail: string } | undefined
  ended: boolean
}

/** Drawings a process holds: one in work, one waiting, so that it never idles for the length of a message. */
const window = 2
/** Milliseconds between looks of the watchdog; a drawing is usually done before the first. */
const lookEvery = 25

export class RendererPool {
  readonly #options: PoolOptions
  readonly #folder: string
  readonly #members = new Set<Member>()
  readonly #waiting: Array<Job> = []
  readonly #exits = new Set<Promise<void>>()
  #next = 0
  #failures = 0
  #watch: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-render-"))
    for (let i = 0; i < options.processes; i++) this.#spawn()
  }

  /** Never rejects. */
  render(svg: string): Promise<PoolResult> {
    return new Promise((resolve) => {
      if (this.#closed) return resolve({ _tag: "Killed", reason: "crash", detail: "the renderer was closed" })
      this.#waiting.push({ svg, resolve })
      this.#feed()
    })
  }

  /** Ends all processes and waits until they are gone. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#watch)
    for (const { child } of this.#members) child.kill("SIGKILL")
    await Promise.all(this.#exits)
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Process ids of the pool. */
  get pids(): ReadonlyArray<number> {
    return [...this.#members].flatMap(({ child }) => child.pid ?? [])
  }

  #spawn(): void {
    if (this.#closed) return
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"
    const child = fork(new URL(`./renderer-resvg-child.${extension}`, import.meta.url), [], {
      cwd: this.#folder, // resvg resolves paths against it; it is empty
      env: {}, // no secret of the parent's reaches the process that reads hostile text
      execArgv: [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "ignore", "ipc"]
    })
    const member: Member = { child, jobs: [], done: 0, since: 0, cpu: undefined, killed: undefined, ended: false }
    this.#members.add(member)
    const gone = new Promise<void>((resolve) => {
      const end = (detail: string) => {
        if (member.ended) return
        member.ended = true
        resolve()
        this.#lost(member, detail)
      }
      child.on("exit", (code, signal) => end(signal ?? `exit code ${code}`))
      child.on("error", (error) => end(error.message))
    })
    this.#exits.add(gone)
    void gone.then(() => this.#exits.delete(gone))
    child.on("message", (answer: RenderAnswer) => this.#answered(member, answer))
  }

  #feed(): void {
    while (this.#waiting.length > 0) {
      const open = [...this.#members].filter(({ ended, jobs, killed }) => !ended && !killed && jobs.length < window)
      const member = open.sort((a, b) => a.jobs.length - b.jobs.length)[0]
      if (member === undefined) return
      const job = { ...this.#waiting.shift()!, id: this.#next++ }
      if (member.jobs.push(job) === 1) this.#begin(member)
      const call: RenderCall = { id: job.id, svg: job.svg, size: this.#options.size }
      member.child.send(call, () => {}) // a process that is gone says so by its exit
      this.#watch ??= setInterval(() => this.#look(), lookEvery)
    }
  }

  #begin(member: Member): void {
    member.since = performance.now()
    member.cpu = undefined
  }

  #answered(member: Member, answer: RenderAnswer): void {
    const at = member.jobs.findIndex(({ id }) => id === answer.id)
    if (at < 0 || member.killed) return
    const [job] = member.jobs.splice(at, 1)
    this.#failures = 0
    member.done++
    if (member.jobs.length > 0) this.#begin(member)
    job!.resolve("rgba" in answer ? { _tag: "Pixels", rgba: answer.rgba } : { _tag: "Error", message: answer.error })
    if (member.done >= this.#options.recycleAfter && member.jobs.length === 0) member.child.disconnect()
    this.#feed()
  }

  /** The process ended: its first job is the cause, unless it was replaced on purpose; the others go to the next one. */
  #lost(member: Member, detail: string): void {
    this.#members.delete(member)
    const [first, ...rest] = member.jobs
    first?.resolve({ _tag: "Killed", ...member.killed ?? { reason: "crash", detail: `the renderer ended with ${detail}` } })
    this.#waiting.unshift(...rest)
    if (this.#closed) {
      for (const { resolve } of this.#waiting.splice(0)) {
        resolve({ _tag: "Killed", reason: "crash", detail: "the renderer was closed" })
      }
      return
    }
    // A process that dies before it rendered anything is started again more and more slowly.
    if (member.done === 0 && first === undefined) this.#failures++
    setTimeout(() => {
      this.#spawn()
      this.#feed()
    }, Math.min(5000, this.#failures === 0 ? 0 : 50 * 2 ** this.#failures)).unref()
  }

  #look(): void {
    let busy = false
    for (const member of this.#members) {
      if (member.jobs.length === 0 || member.killed) continue
      busy = true
      const waited = (performance.now() - member.since) / 1000
      if (waited * 1000 < lookEvery) continue
      const pid = member.child.pid
      const used = pid === undefined ? undefined : usage(pid)
      member.cpu ??= used?.cpuSeconds
      const worked = used === undefined || member.cpu === undefined ? waited : used.cpuSeconds - member.cpu
      if (worked > this.#options.deadline || waited > this.#options.patience) {
        this.#kill(member, "deadline", `more than ${this.#options.deadline} s of CPU time`)
      } else if (used !== undefined && used.rss > this.#options.memory) {
        this.#kill(member, "memory", `more than ${Math.round(this.#options.memory / 1e6)} MB`)
      }
    }
    if (!busy && this.#waiting.length === 0) {
      clearInterval(this.#watch)
      this.#watch = undefined
    }
  }

  #kill(member: Member, reason: KillReason, detail: string): void {
    member.killed = { reason, detail }
    member.child.kill("SIGKILL")
  }
}

/** Clock ticks a second of /proc/PID/stat: 100 on every Linux that Node runs on. */
const ticks = 100
const page = 4096

/** CPU seconds and resident bytes of a process, from Linux; undefined elsewhere, or when it is gone. */
const usage = (pid: number): { readonly cpuSeconds: number; readonly rss: number } | undefined => {
  try {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticks, rss: Number(fields[21]) * page }
  } catch {
    return undefined
  }
}
