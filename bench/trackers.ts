/**
 * What telling every tracker costs a run: the default run, cut short and without its comparison at the end, told to nobody and
 * told to all (event files, Trackio and OTLP on servers of this machine, tables of drawings), in turn. CPU seconds are those of the
 * run's process, so they show what wall clock on a busy machine hides. `alone` is a plain run's steps told again by trackers that
 * have nothing else to do: their CPU seconds a step with those of the two servers, and as a share of a plain run's.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { type CompletionRow, Tracker } from "../src/stages/Tracker.ts"
import { resolveConfig } from "../src/wiring/settings.ts"
import { openTrackers } from "../src/wiring/trackers.ts"
import { collector, trackioServer } from "../test/support/tracker-servers.ts"
import { median } from "./median.ts"
import { rounds } from "./quiet.ts"

const steps = 12
const count = 5

interface Measured {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly faults: Readonly<Record<string, number>>
}

/** Tells these steps `times` times over. @returns CPU seconds a step */
const alone = (run: string, folder: string, trackio: string, times = 40): Promise<number> =>
  Effect.runPromise(Effect.gen(function*() {
    const lines = (name: string) => fs.readFileSync(path.join(run, name), "utf8").trim().split("\n").map((line) => JSON.parse(line))
    const metrics = lines("metrics.jsonl") as ReadonlyArray<Record<string, number>>
    const pairs = lines("preferences.jsonl") as ReadonlyArray<{ readonly prompt: ReadonlyArray<{ readonly content: string }>; readonly chosen: ReadonlyArray<{ readonly content: string }> }>
    const rows = Array.from({ length: 32 }, (_, n): CompletionRow => {
      const { chosen, prompt } = pairs[n % pairs.length]!
      return { prompt: prompt[0]!.content, completion: chosen[0]!.content, rewards: { clip: n / 32 }, advantage: undefined, outcome: "rendered", tokens: 60, policyVersion: 0 }
    })
    const settings = yield* resolveConfig(undefined, { report_to: ["tensorboard", "trackio", "otlp"], log_completions: true, trackio_url: trackio })
    const trackers = yield* openTrackers(settings)
    const before = process.cpuUsage()
    yield* Effect.gen(function*() {
      const tracker = yield* Tracker
      for (let n = 0; n < times * metrics.length; n++) {
        yield* tracker.step({ kind: "step", step: n, time: Date.now(), metrics: metrics[n % metrics.length]!, completions: () => rows })
        yield* Effect.sleep("5 millis") // a queue that is full would cost nothing
      }
      yield* tracker.end
      if (Object.keys(yield* tracker.dropped).length > 0) throw new Error("the trackers were not told everything")
    }).pipe(Effect.provide(trackers({ folder, events: path.join(folder, "tensorboard"), name: "alone", id: "alone", from: undefined, config: settings, note: Effect.logError })))
    const { system, user } = process.cpuUsage(before)
    return (system + user) / 1e6 / (times * metrics.length)
  }))

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
    process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp.url
    process.env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/json"
    const spans = otlp.spans.length
    const cpuSecondsAStep = await alone(path.join(work, "0"), path.join(work, "alone"), trackio.url)
    return {
      steps,
      rounds: count,
      plainSeconds: typical("plain"),
      trackedSeconds: typical("tracked"),
      ratio: ratio("tracked", "plain"),
      cpuRatio: median(cpu.tracked.map((seconds, n) => seconds / cpu.plain[n]!)),
      alone: { cpuSecondsAStep, share: cpuSecondsAStep / (median(cpu.plain) / steps) },
      spans,
      dropped,
      coresUsedByOthers: others
    }
  } finally {
    await Promise.all([trackio.close(), otlp.close()])
    fs.rmSync(work, { recursive: true, force: true })
  }
}
