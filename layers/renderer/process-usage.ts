/** What another process uses, read from Linux's /proc. */
import * as fs from "node:fs"
import * as path from "node:path"

export interface ProcessUsage {
  readonly cpuSeconds: number
  /** Resident memory, bytes. */
  readonly rss: number
}

/** Clock ticks a second of /proc/PID/stat: 100 on every Linux that Node runs on. */
const ticks = 100

/**
 * Undefined on other systems, and if the process is gone. Memory is read from `status`, in kB: `stat` counts it in
 * pages, whose size differs between machines (4 to 64 KiB).
 *
 * @param proc where the system's /proc is
 */
export const processUsage = (pid: number, proc = "/proc"): ProcessUsage | undefined => {
  const read = (name: string) => fs.readFileSync(path.join(proc, String(pid), name), "utf8")
  try {
    const fields = read("stat").split(") ").at(-1)!.split(" ")
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(read("status"))?.[1] ?? 0 // a zombie has none
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticks, rss: Number(kilobytes) * 1024 }
  } catch {
    return undefined
  }
}
