/**
 * `pnpm run soak [--minutes 20] [--kills N] [--seed 0] [--json] [--keep FOLDER]`: real training runs (onnxruntime, the embedded model, the
 * renderer's processes, SQLite) against a judge server that fails in every way, with hostile drawings among the policy's own,
 * killed, interrupted and without space on their disk, each compared with the same run left alone. Ends with a table of
 * figures, and exit code 1 where an invariant was broken, each named in a sentence; `--keep` copies the runs of the last cycle of each
 * objective into a folder of its name.
 * With `--kills` the only blow is SIGKILL, and it ends once so many have fallen, or the time is over.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { parseArgs } from "node:util"
import { type Cycle, cycle, runIn } from "./cycle.ts"
import { diskKind, type DiskKind, onSmallDisk } from "./disk.ts"
import { hostileFor } from "./hostile-sampler.ts"
import { planOf } from "./plan.ts"
import { canWatch } from "./processes.ts"

export interface Figures {
  readonly minutes: number
  readonly seed: number
  /** How the disk was filled; `none`: this part was left out. */
  readonly disk: DiskKind
  readonly cycles: number
  readonly steps: number
  readonly processes: number
  readonly blows: Cycle["blows"]
  readonly requests: number
  readonly faults: Readonly<Record<string, number>>
  readonly charged: number
  readonly replayed: number
  readonly drawings: number
  /** Hostile drawings by what became of them. */
  readonly hostile: Readonly<Record<string, number>>
  /** Verdicts that were none, as the judge gave no usable answer. */
  readonly failedVerdicts: number
  /** Most resident bytes of a process, and the growth over a long run; null where nothing could be watched, or no run was long. */
  readonly memory: { readonly peak: number | null; readonly growth: number | null }
  readonly broken: ReadonlyArray<string>
}

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    kills: { type: "string" },
    seed: { type: "string", default: "0" },
    json: { type: "boolean", default: false },
    keep: { type: "string" }
  }
})
const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
const kills = values.kills === undefined ? undefined : Number(values.kills)
if (!(minutes > 0) || !Number.isSafeInteger(seed) || seed < 0 || (kills !== undefined && !(kills > 0))) {
  console.error("--minutes and --kills are numbers over 0, --seed a whole number from 0 on.")
  process.exit(1)
}

/** What the judge and the gate made of one run's drawings. */
const outcomes = (run: string, rate: number) => {
  const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true })
  const drawings = db.prepare("SELECT seed, rendering, reason FROM candidates").all()
  const failed = Number(db.prepare("SELECT count(*) AS n FROM verdicts WHERE outcome = 'failed'").get()!["n"])
  db.close()
  const hostile = drawings.filter(({ seed }) => hostileFor(Number(seed), rate) !== undefined)
  return { drawings: drawings.length, failed, hostile: hostile.map(({ reason, rendering }) => String(reason ?? rendering).toLowerCase()) }
}

const soak = async (work: string, disk: DiskKind): Promise<Figures> => {
  const [small, temporary] = ["disk", "tmp"].map((name) => path.join(work, name))
  const began = performance.now()
  const left = () => minutes * 60 - (performance.now() - began) / 1000
  const clock = () => `${Math.floor(Math.max(0, left()) / 60)}:${String(Math.floor(Math.max(0, left()) % 60)).padStart(2, "0")} left`
  const done: Array<Cycle> = []
  const growths: Array<number> = []
  const hostile: Record<string, number> = {}
  let [drawings, failedVerdicts, longest] = [0, 0, 0]
  const total = (count: (cycle: Cycle) => number) => done.reduce((n, each) => n + count(each), 0)
  const say = (line: string) => console.error(`cycle ${done.length + 1}: ${line}; ${clock()}`)
  const enough = () => kills !== undefined && total(({ blows }) => blows.kill) >= kills
  for (let n = 0; n === 0 || (left() > 1.2 * longest && !enough()); n++) {
    const long = kills === undefined && minutes >= 10 && n % 6 === 2 && left() > 8 * longest
    const plan = planOf(seed, n, long ? "long" : kills === undefined ? "mixed" : "killed")
    const folder = path.join(small!, `cycle-${n}`)
    fs.mkdirSync(folder)
    const started = performance.now()
    const each = await cycle(plan, folder, temporary!, disk, say)
    if (!long) longest = Math.max(longest, (performance.now() - started) / 1000)
    done.push(each)
    if (long) growths.push(each.growth)
    if (each.broken.length === 0) {
      for (const which of ["alone", "struck"] as const) {
        const seen = outcomes(runIn(folder, which), plan.hostile)
        drawings += seen.drawings
        failedVerdicts += seen.failed
        for (const outcome of seen.hostile) hostile[outcome] = (hostile[outcome] ?? 0) + 1
      }
    }
    console.error(
      `cycle ${n + 1} done: ${total(({ blows }) => blows.kill)} kills, ${total(({ blows }) => blows.interrupt)} interrupts, ${total(({ blows }) => blows.disk)} full disks, ` +
        `${total(({ faults }) => Object.values(faults).reduce((a, b) => a + b, 0))} faulty answers, ${Object.values(hostile).reduce((a, b) => a + b, 0)} hostile drawings, ` +
        `${each.broken.length === 0 ? "nothing broken" : `${each.broken.length} broken`}; ${clock()}`
    )
    const keep = values.keep !== undefined ? path.join(values.keep, plan.lossType) : (each.broken.length > 0 ? fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-soak-broken-")) : undefined)
    if (keep !== undefined) {
      fs.rmSync(keep, { recursive: true, force: true })
      fs.cpSync(folder, keep, { recursive: true })
      fs.writeFileSync(path.join(keep, "plan.json"), JSON.stringify(plan, null, 2))
      if (each.broken.length > 0) console.error(`The runs of this cycle are kept in ${keep}.`)
    }
    fs.rmSync(folder, { recursive: true, force: true })
    if (each.broken.length > 0) break
  }
  const faults: Record<string, number> = {}
  for (const each of done) for (const [kind, count] of Object.entries(each.faults)) faults[kind] = (faults[kind] ?? 0) + count
  return {
    minutes: (performance.now() - began) / 60_000,
    seed,
    disk,
    cycles: done.length,
    steps: total(({ steps }) => steps),
    processes: total(({ processes }) => processes),
    blows: { kill: total(({ blows }) => blows.kill), interrupt: total(({ blows }) => blows.interrupt), disk: total(({ blows }) => blows.disk) },
    requests: total(({ requests }) => requests),
    faults,
    charged: total(({ charged }) => charged),
    replayed: total(({ replayed }) => replayed),
    drawings,
    hostile,
    failedVerdicts,
    memory: {
      peak: canWatch ? Math.max(...done.map(({ peak }) => peak)) : null,
      growth: canWatch && growths.length > 0 ? Math.max(...growths) : null
    },
    broken: done.flatMap(({ broken }) => broken)
  }
}

const table = (figures: Figures): string => {
  const { blows, broken, disk, faults, hostile, memory, minutes: taken, ...counts } = figures
  const list = (of: Readonly<Record<string, number>>) => Object.entries(of).toSorted(([, a], [, b]) => b - a).map(([name, count]) => `${count} ${name}`).join(", ")
  return [
    ["minutes", taken.toFixed(1)],
    ...Object.entries(counts).map(([name, value]) => [name, String(value)]),
    ["blows", list(blows)],
    ["disk", disk === "none" ? "never full: neither unshare nor strace may be used here" : `filled by ${disk}`],
    ["faulty answers", list(faults)],
    ["hostile drawings", list(hostile)],
    ["memory", memory.peak === null ? "not watched: there is no /proc" : `${Math.round(memory.peak / 1e6)} MB at most${memory.growth === null ? "" : `, x ${memory.growth.toFixed(2)} over a long run`}`],
    ["broken", broken.length === 0 ? "nothing" : ""]
  ].map(([name, value]) => `${name!.padEnd(18)}${value}`).concat(broken).join("\n")
}

const inside = process.env["SOAK_WORK"]
if (inside !== undefined) {
  const figures = await soak(inside, process.env["SOAK_DISK"] as DiskKind)
  console.log(values.json ? JSON.stringify(figures) : table(figures))
  process.exitCode = figures.broken.length === 0 ? 0 : 1
} else {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-soak-"))
  const disk = path.join(work, "disk")
  for (const name of [disk, path.join(work, "tmp")]) fs.mkdirSync(name)
  const kind = diskKind(disk)
  const command = [process.execPath, ...process.argv.slice(1)]
  const env = { ...process.env, SOAK_WORK: work, SOAK_DISK: kind }
  process.exitCode = kind === "tmpfs" ? await onSmallDisk(disk, command, env) : spawnSync(command[0]!, command.slice(1), { env, stdio: "inherit" }).status ?? 1
  fs.rmSync(work, { recursive: true, force: true })
}
