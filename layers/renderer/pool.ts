/**
 * A pool of renderer processes, with plain promises. Each process works on one drawing and has the next ones waiting. A
 * watchdog ends a process that takes too much CPU time or memory: the drawing it worked on is to blame, and the waiting
 * ones move to another process. If something else ended the process (a user, a supervisor, the kernel when memory ran
 * out), no drawing is to blame: its drawing is tried again and, after too many tries, given up as untested.
 *
 * A process gets drawings only after it has said that it is ready, so one that cannot start blames none. Spare
 * processes stand ready and take the place of one that ended at once. A drawing that is already being drawn is not
 * drawn a second time: a second caller gets the same answer.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Duplex } from "node:stream"
import { fileURLToPath } from "node:url"
import type { KillReason } from "../../src/domain.ts"
import { compiledCode, programBeside } from "../../src/system/program.ts"
import { processUsage } from "./process-usage.ts"
import { type Answer, type Call, decodeAnswers, encodeCalls, wire } from "./wire.ts"

export interface PoolOptions {
  /** Processes at work at a time. */
  readonly processes: number
  /** Idle processes started besides; each takes the place of one that ends. */
  readonly spares: number
  /** Pixels of a side. */
  readonly size: number
  /** CPU seconds a drawing may take. */
  readonly deadline: number
  /** Seconds of wall clock after which a drawing is given up, even if it got no CPU time. */
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
  /** Says nothing about the drawing: no process can be started, each is ended from outside, or the pool was closed. */
  | { readonly _tag: "Unavailable"; readonly message: string }

interface Job extends Omit<Call, "id"> {
  readonly resolve: (result: PoolResult) => void
  /** How many processes were ended from outside while they drew it. */
  readonly endedFromOutside: number
}

interface Member {
  readonly child: ChildProcess
  /**
   * In the form of layers/renderer/wire.ts. Answers use a separate stream: a call that finds the process dead must not
   * lose them.
   */
  readonly calls: Duplex
  /** In the order sent; the first one is being rendered. */
  readonly jobs: Array<Job & { readonly id: number }>
  ready: boolean
  /** Gets no more drawings: another process has taken its place. */
  retiring: boolean
  done: number
  /** When the first job began, by the clock and by the process's CPU time. */
  since: number
  cpu: number | undefined
  killed: { readonly reason: KillReason; readonly detail: string } | undefined
  ended: boolean
}

/**
 * Drawings a process holds: one in work, the others waiting, so that it never idles while a message travels. It gets
 * new ones when half of them are left: a message costs about as much as a small drawing.
 */
const window = 16
/** Milliseconds between two checks of the watchdog; most drawings are done before the first. */
const lookEvery = 25
/** After this many processes in a row have ended before they were ready, callers are told. */
const startsToTry = 4
/** After this many of its processes were ended from outside, a drawing is given up. */
const outsideToTry = 5
/** Sent by people, supervisors and the kernel when memory runs out; a drawing's own crash is another signal. */
const fromOutside: ReadonlySet<string> = new Set(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])

export class RendererPool {
  readonly #options: PoolOptions
  readonly #folder: string
  readonly #members = new Set<Member>()
  readonly #waiting: Array<Job> = []
  /** Drawings that are waiting or in work, by everything in the request. */
  readonly #pending = new Map<string, Promise<PoolResult>>()
  readonly #exits = new Set<Promise<void>>()
  #next = 0
  #failures = 0
  #watch: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-render-"))
    for (let i = 0; i < options.processes + options.spares; i++) this.#spawn()
  }

  /**
   * Never rejects. Callers must not write to the pixels.
   * @param letters whether letters are drawn
   */
  render(svg: string, letters = false): Promise<PoolResult> {
    return this.#draw({ svg, letters, png: false, size: this.#options.size })
  }

  /**
   * Like `render`, for a PNG on white.
   * @param size pixels of a side of the picture
   */
  renderPng(png: Buffer, size: number): Promise<PoolResult> {
    return this.#draw({ svg: png.toString("base64"), letters: false, png: true, size })
  }

  #draw(call: Omit<Call, "id">): Promise<PoolResult> {
    const key = `${call.letters} ${call.png} ${call.size} ${call.svg}`
    const known = this.#pending.get(key)
    if (known !== undefined) return known
    const answer = new Promise<PoolResult>((resolve) => {
      this.#waiting.push({
        ...call,
        endedFromOutside: 0,
        resolve: (result) => {
          this.#pending.delete(key)
          resolve(result)
        }
      })
    })
    this.#pending.set(key, answer)
    if (this.#closed || this.#failures >= startsToTry) this.#giveUp()
    else if (this.#waiting.length === 1) queueMicrotask(() => this.#feed()) // together with all requests of this turn
    return answer
  }

  /** Ends all processes and waits until they are gone. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#watch)
    for (const { child } of this.#members) child.kill("SIGKILL")
    await Promise.all(this.#exits)
    this.#giveUp()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Process ids of the pool, spare ones last. */
  get pids(): ReadonlyArray<number> {
    return [...this.#members].flatMap(({ child }) => child.pid ?? [])
  }

  /** Processes that can draw. */
  get ready(): number {
    return [...this.#members].filter(({ ended, killed, ready }) => ready && !ended && !killed).length
  }

  #giveUp(): void {
    const message = this.#closed
      ? "the renderer was closed"
      : `${startsToTry} renderer processes in a row ended before they could draw`
    for (const { resolve } of this.#waiting.splice(0)) resolve({ _tag: "Unavailable", message })
  }

  #spawn(): void {
    if (this.#closed) return
    const program = fileURLToPath(programBeside(import.meta.url, "./resvg-child"))
    const child = spawn(process.execPath, ["--expose-gc", program], {
      cwd: this.#folder, // resvg resolves paths against it; it is empty
      env: compiledCode(), // no secret of the parent's reaches the process that reads hostile text
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"]
    })
    const [calls, answers] = [child.stdio[wire.calls] as Duplex, child.stdio[wire.answers] as Duplex]
    const member: Member = {
      child,
      calls,
      jobs: [],
      ready: false,
      retiring: false,
      done: 0,
      since: 0,
      cpu: undefined,
      killed: undefined,
      ended: false
    }
    this.#members.add(member)
    const gone = new Promise<void>((resolve) => {
      const end = (detail: string, signal?: string) => {
        if (member.ended) return
        member.ended = true
        resolve()
        this.#lost(member, detail, signal !== undefined && fromOutside.has(signal))
      }
      // Not "exit", which may come before the last answers are read.
      child.on("close", (code, signal) => end(signal ?? `exit code ${code}`, signal ?? undefined))
      child.on("error", (error) => end(error.message))
    })
    this.#exits.add(gone)
    void gone.then(() => this.#exits.delete(gone))
    for (const stream of [calls, answers]) stream.on("error", () => {}) // the exit event reports a process that is gone
    const decode = decodeAnswers((answer) => {
      if (answer._tag !== "Ready") return this.#answered(member, answer)
      member.ready = true
      this.#failures = 0
    })
    calls.resume() // nothing arrives here except the end
    answers.on("data", (bytes: Buffer) => {
      decode(bytes)
      if (this.#waiting.length > 0) this.#feed()
    })
  }

  /** The processes that get drawings: the oldest that can draw. The others are spare. */
  #working(): ReadonlyArray<Member> {
    const able: Array<Member> = []
    for (const member of this.#members) {
      if (able.length === this.#options.processes) break
      if (member.ready && !member.retiring && !member.ended && !member.killed) able.push(member)
    }
    return able
  }

  #feed(): void {
    const working = this.#working()
    while (this.#waiting.length > 0) {
      const open = working.filter(({ jobs }) => jobs.length <= window / 2)
      const first = open[0]
      if (first === undefined) return
      const member = open.reduce((least, next) => (next.jobs.length < least.jobs.length ? next : least), first)
      const share = Math.ceil(this.#waiting.length / open.length)
      const jobs = this.#waiting.splice(0, Math.min(share, window - member.jobs.length)).map((job) => ({ ...job, id: this.#next++ }))
      if (member.jobs.length === 0) this.#begin(member)
      member.jobs.push(...jobs)
      member.calls.write(encodeCalls(jobs))
      this.#watch ??= setInterval(() => this.#look(), lookEvery)
    }
  }

  #begin(member: Member): void {
    member.since = performance.now()
    member.cpu = undefined
  }

  #answered(member: Member, answer: Exclude<Answer, { readonly _tag: "Ready" }>): void {
    const at = member.jobs.findIndex(({ id }) => id === answer.id)
    if (at < 0 || member.killed) return
    const [job] = member.jobs.splice(at, 1)
    if (++member.done === this.#options.recycleAfter) this.#retire(member)
    if (member.jobs.length > 0) this.#begin(member)
    else if (member.retiring) member.calls.end() // it ends by itself
    job!.resolve(answer)
  }

  /** It gets no more drawings; another process is started for it. */
  #retire(member: Member): void {
    if (member.retiring) return
    member.retiring = true
    this.#spawn()
  }

  /**
   * The process ended. Its first job is the cause, unless the end came from outside; the others go to the next process.
   */
  #lost(member: Member, detail: string, fromOutside: boolean): void {
    this.#members.delete(member)
    const [first, ...rest] = member.jobs
    this.#waiting.unshift(...rest)
    if (first !== undefined) {
      const endedFromOutside = first.endedFromOutside + 1
      if (member.killed && !this.#closed) first.resolve({ _tag: "Killed", ...member.killed })
      else if (this.#closed || (fromOutside && endedFromOutside < outsideToTry)) this.#waiting.unshift({ ...first, endedFromOutside })
      else if (fromOutside) {
        const message = `${endedFromOutside} renderer processes in a row were ended from outside with ${detail} while they drew it; is memory running out?`
        first.resolve({ _tag: "Unavailable", message })
      } else first.resolve({ _tag: "Killed", reason: "crash", detail: `the renderer ended with ${detail}` })
    }
    if (this.#closed) return
    if (!member.ready && ++this.#failures >= startsToTry) this.#giveUp()
    if (member.retiring) return this.#feed()
    // A process that ends before it is ready is started again, with longer and longer pauses, as long as the pool is
    // open.
    const again = setTimeout(() => this.#spawn(), Math.min(5000, this.#failures === 0 ? 0 : 50 * 2 ** this.#failures))
    if (this.#failures >= startsToTry) again.unref() // nobody is waiting for it
    this.#feed()
  }

  #look(): void {
    let busy = false
    for (const member of this.#members) {
      if (member.jobs.length === 0 || member.killed) continue
      busy = true
      const waited = (performance.now() - member.since) / 1000
      const pid = member.child.pid
      const used = pid === undefined ? undefined : processUsage(pid)
      member.cpu ??= used?.cpuSeconds
      const worked = used === undefined || member.cpu === undefined ? waited : used.cpuSeconds - member.cpu
      if (worked > this.#options.deadline) {
        this.#kill(member, "deadline", `more than ${this.#options.deadline} s of ${used === undefined ? "time" : "CPU time"}`)
      } else if (waited > this.#options.patience) {
        this.#kill(member, "deadline", `more than ${this.#options.patience} s of wall clock`)
      } else if (used !== undefined && used.rss > this.#options.memory) {
        this.#kill(member, "memory", `more than ${Math.round(this.#options.memory / 1e6)} MB`)
      } else if (used !== undefined && used.rss > this.#options.memory / 2) {
        this.#retire(member) // what one drawing leaves behind must not count against a later one
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
