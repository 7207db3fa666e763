/**
 * Loaded before a program (`node --import`), it writes to the file LAG_REPORT when the program ends: how long its event
 * loop was kept waiting, milliseconds, beside a thread that does nothing, and the most memory that it and its child
 * processes held, bytes.
 */
import * as fs from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Worker } from "node:worker_threads"

export interface LagReport {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** p99 of the thread that does nothing: what the machine's other work alone makes of it. */
  readonly idle: number
  readonly own: number
  readonly child: number
}

const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
const idle = new Float64Array(new SharedArrayBuffer(8))
new Worker(
  `const { workerData } = require("node:worker_threads")
  const delay = require("node:perf_hooks").monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  setInterval(() => (workerData[0] = delay.percentile(99)), 250)`,
  { eval: true, workerData: idle, execArgv: [] }
).unref()
let [own, child] = [0, 0]
const look = (): void => {
  own = Math.max(own, process.memoryUsage.rss())
  if (!fs.existsSync("/proc")) return
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ")
      if (Number(fields[1]) === process.pid) child = Math.max(child, Number(fields[21]) * 4096)
    } catch { /* it has ended */ }
  }
}
setInterval(look, 250).unref()
process.on("exit", () => {
  const ms = (nanoseconds: number) => Math.round(nanoseconds / 1e4) / 100
  const report: LagReport = { p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max), idle: ms(idle[0]!), own, child }
  fs.writeFileSync(process.env["LAG_REPORT"]!, JSON.stringify(report))
})
