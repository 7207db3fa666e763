/** Processes that are watched from outside: their memory, how they end, and what they leave running. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"

/** There is a /proc to watch them by. */
export const canWatch = fs.existsSync("/proc/self/stat")

interface Entry {
  readonly pid: number
  readonly group: number
  /** Resident bytes. */
  readonly rss: number
}

/** All that run; a zombie has ended. */
const running = (): ReadonlyArray<Entry> =>
  (canWatch ? fs.readdirSync("/proc") : []).flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const fields = fs.readFileSync(`/proc/${name}/stat`, "utf8").split(") ").at(-1)!.split(" ")
      return fields[0] === "Z" ? [] : [{ pid: Number(name), group: Number(fields[2]), rss: Number(fields[21]) * 4096 }]
    } catch {
      return [] // it has just ended
    }
  })

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** What it wrote to stderr. */
  readonly said: string
  readonly seconds: number
  /** Resident bytes of the process itself, every quarter of a second. */
  readonly memory: ReadonlyArray<number>
  /** Processes of its group that still ran some seconds after its end; they are ended then. */
  readonly left: number
}

export interface Process {
  readonly ended: Promise<Ended>
  /** To the process alone, as `kill` does it, or to the whole group, as Ctrl-C in a terminal does. */
  readonly signal: (signal: NodeJS.Signals, group?: boolean) => void
}

/** What is left over is given this long to notice that its parent is gone, milliseconds. */
const grace = 5000
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const send = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch { /* it has ended */ }
}

/** In a group of its own. */
export const start = (command: string, args: ReadonlyArray<string>, cwd: string, env: NodeJS.ProcessEnv): Process => {
  const began = performance.now()
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "ignore", "pipe"], detached: true })
  const group = child.pid!
  const memory: Array<number> = []
  const look = setInterval(() => {
    const rss = running().find(({ pid }) => pid === group)?.rss
    if (rss !== undefined) memory.push(rss)
  }, 250)
  let said = ""
  child.stderr.on("data", (part: Buffer) => (said += part.toString()))
  const others = () => running().filter((entry) => entry.group === group)
  const ended = new Promise<Omit<Ended, "left">>((resolve) =>
    child.on("exit", (code, signal) => {
      clearInterval(look)
      const seconds = (performance.now() - began) / 1000
      const end = () => resolve({ code, signal, said, seconds, memory })
      child.on("close", end)
      setTimeout(end, grace).unref() // what is left over may hold the pipe
    })
  ).then(async (end): Promise<Ended> => {
    for (const until = performance.now() + grace; others().length > 0 && performance.now() < until;) await pause(50)
    const left = others().length
    if (left > 0) send(-group, "SIGKILL")
    return { ...end, left }
  })
  return { ended, signal: (signal, all = false) => send(all ? -group : group, signal) }
}
