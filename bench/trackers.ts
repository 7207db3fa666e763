/**
 * What telling every tracker costs a run: the default run, cut short and without its comparison at the end, told to nobody and
 * told to all (event files, Trackio and OTLP on servers of this machine, tables of drawings), in turn. CPU seconds are those of the
 * run's process, so they show what wall clock on a busy machine hides.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { collector, trackioServer } from "../test/support/tracker-servers.ts"
import { rounds } from "./quiet.ts"
import { median } from "./median.ts"

const steps = 24
const count = 5

interface Measured {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly faults: Readonly<Record<string, number>>
}

export const benchTrackers = async () => {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-bench-"))
  const [trackio, otlp] = [await trackioServer(undefined), await collector()]
  let runs = 0
  const cpu: Record<"plain" | "tracked", Array<number>> = { plain: [], tracked: [] }
  let dropped = 0
  const once = async (which: "plain" | "tracked"): Promise<number> => {
    const folder = path.join(work, String(runs++))
    const child = spawn(process.execPath, [path.join(import.meta.dirname, "trackers-child.ts"), folder, String(steps), ...(which === "tracked" ? [trackio.url] : [])], {
      env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let said = ""
    for await (const part of child.stdout) said += String(part)
    const { cpuSeconds, faults, seconds } = JSON.parse(said) as Measured
    cpu[which].push(cpuSeconds)
    for (const [name, times] of Object.entries(faults)) if (name.startsWith("tracker/")) dropped += times
    return seconds
  }
  try {
    await once("plain") // files are read from the disk once
    cpu.plain.pop()
    const { others, ratio, typical } = await rounds({ plain: () => once("plain"), tracked: () => once("tracked") }, count)
    return {
      steps,
      rounds: count,
      plainSeconds: typical("plain"),
      trackedSeconds: typical("tracked"),
      ratio: ratio("tracked", "plain"),
      cpuRatio: median(cpu.tracked.map((seconds, n) => seconds / cpu.plain[n]!)),
      toldTrackio: trackio.logs.size,
      spans: otlp.spans.length,
      dropped,
      coresUsedByOthers: others
    }
  } finally {
    await Promise.all([trackio.close(), otlp.close()])
    fs.rmSync(work, { recursive: true, force: true })
  }
}
