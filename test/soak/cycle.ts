/** One cycle: a run that is left alone, the same one struck and resumed until it ends, and all that must hold of both. */
import * as fs from "node:fs"
import * as path from "node:path"
import { type ClaudeServer, startClaudeServer } from "../support/claude-server.ts"
import { type Account, accountOf, broken } from "./check.ts"
import { type DiskKind, fill, refused } from "./disk.ts"
import { renderSize } from "./hostile-sampler.ts"
import { type Blow, passing, type Plan } from "./plan.ts"
import { type Ended, start } from "./processes.ts"
import { differences } from "./same.ts"

export interface Cycle {
  readonly steps: number
  readonly processes: number
  readonly blows: Readonly<Record<Blow["kind"], number>>
  /** Answers that failed on their way, by kind. */
  readonly faults: Readonly<Record<string, number>>
  readonly requests: number
  readonly charged: number
  /** Answers that were charged before and sent again. */
  readonly replayed: number
  /** Most resident bytes of a process. */
  readonly peak: number
  /** Resident bytes in the last third of the run that was left alone, beside those in its middle third. */
  readonly growth: number
  readonly broken: ReadonlyArray<string>
}

/** Where one of the cycle's two runs is. */
export const runIn = (folder: string, which: "alone" | "struck"): string => path.join(folder, which, "run")

const program = path.join(import.meta.dirname, "train.ts")
/** Seconds after which a process is given up. */
const patience = (plan: Pick<Plan, "steps">): number => 120 + 10 * plan.steps
/** Resident bytes that no process of such a run needs. */
const mostMemory = 1.5e9
/** Of `growth`, in a run that is long enough for it to say something. */
const mostGrowth = 1.25

const stepsIn = (run: string): number => {
  const file = path.join(run, "metrics.jsonl")
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").length - 1 : 0
}
const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN
const growthOf = (memory: ReadonlyArray<number>): number => {
  const third = Math.floor(memory.length / 3)
  return median(memory.slice(-third)) / median(memory.slice(third, 2 * third))
}

const nativeFaults: ReadonlySet<string> = new Set(["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP"])

/** What is wrong with the way a process ended. */
export const wrongEnd = ({ code, left, memory, said, seconds, signal }: Ended, blow: Blow["kind"] | undefined, plan: Pick<Plan, "steps">): ReadonlyArray<string> => {
  const words = said.split("\n").filter((line) => line.startsWith("vequinox: "))
  const how = `${signal ?? `exit code ${code}`}${blow === undefined ? "" : ` after ${blow}`}`
  const ends: Readonly<Record<Blow["kind"], boolean>> = {
    kill: signal === "SIGKILL",
    // Before it listens for signals, and where it takes seconds to let go, a process is ended by the signal.
    interrupt: code === 130 || signal === "SIGINT",
    disk: code === 1 && words.length === 1 && /full|disk/.test(words[0]!) && !/^ +at |\[object|undefined/m.test(said)
  }
  const given = seconds >= patience(plan)
  return [
    nativeFaults.has(String(signal)) ? [`Invariant 7: a process was ended by a native fault (${how}).`] : [],
    left > 0 ? [`Invariant 7: ${left} child processes were left behind (${how}).`] : [],
    Math.max(0, ...memory) > mostMemory ? [`Memory: a process held ${Math.round(Math.max(...memory) / 1e6)} MB.`] : [],
    given ? [`A process did not end within ${patience(plan)} s (${how}).`] : [],
    code === 0 || (blow !== undefined && ends[blow]) || given ? [] : [`A process did not end as it must (${how}): ${said.trim().slice(-600)}`]
  ].flat()
}

interface Driven {
  readonly ends: ReadonlyArray<{ readonly ended: Ended; readonly blow: Blow["kind"] | undefined }>
  readonly account: Account
  readonly server: Pick<ClaudeServer, "faults" | "requests" | "replayed">
  readonly broken: ReadonlyArray<string>
}

interface Striking {
  /** Seconds that the run takes when it is left alone. */
  readonly seconds: number
  readonly disk: DiskKind
  readonly say: (line: string) => void
}

/** Runs it to its end. @param folder its own, on the disk that fills @param striking undefined leaves it alone */
const drive = async (plan: Plan, folder: string, temporary: string, striking?: Striking): Promise<Driven> => {
  const server = await startClaudeServer({
    // A question that fails as often as it may be asked has no verdict: in one of the two runs only, that would be a difference.
    faultsInARow: 3, latency: 60, idempotent: true, seed: plan.seed, faults: plan.faults, kinds: passing, unanswerable: plan.unanswerable, retryAfter: 300
  })
  fs.mkdirSync(folder)
  const run = path.join(folder, "run")
  const env = {
    PATH: process.env["PATH"], TMPDIR: temporary, XDG_CACHE_HOME: path.join(folder, "cache"), SOAK_HOSTILE: String(plan.hostile),
    ANTHROPIC_API_KEY: "sk-soak", ANTHROPIC_BASE_URL: server.url
  }
  const begin = Object.entries({
    steps: plan.steps, seed: plan.seed, k: plan.k, "prompts-per-step": plan.promptsPerStep, "max-staleness": plan.maxStaleness, "save-steps": plan.saveSteps,
    "save-total-limit": 2, "eval-prompts": 4, "trust-pairs": 4, "max-new-tokens": 120, "render-size": renderSize, judge: "claude", "judge-timeout": 3, "loss-type": plan.lossType,
    "budget-usd": 1000, out: run
  }).flatMap(([name, value]) => [`--${name}`, String(value)])
  const ends: Array<Driven["ends"][number]> = []
  const wrong: Array<string> = []
  try {
    for (let n = 0; wrong.length === 0; n++) {
      const blow = striking === undefined ? undefined : plan.blows[n]
      const resumed = fs.existsSync(path.join(run, "config.json"))
      const plain = [process.execPath, program, "train", ...resumed ? ["--resume", run] : begin]
      const withStrace = blow?.kind === "disk" && striking?.disk === "strace"
      const [command, ...args] = withStrace ? refused(1 + Math.floor(300 * blow.at), plain) : plain
      const child = start(command!, args, folder, env)
      const isOver = child.ended.then(() => true)
      const within = (seconds: number) => {
        let timer: NodeJS.Timeout | undefined
        return Promise.race([isOver, new Promise<false>((resolve) => (timer = setTimeout(resolve, 1000 * seconds, false)))]).finally(() => clearTimeout(timer))
      }
      let struck: Blow["kind"] | undefined
      let deflate = () => {}
      if (striking !== undefined && blow !== undefined) {
        // A resumed process has the start again before it, and the steps that are left.
        const left = striking.seconds * (1 - 0.7 * stepsIn(run) / plan.steps)
        if (withStrace) struck = "disk"
        else if (!await within(blow.at * left)) {
          struck = blow.kind
          if (blow.kind === "kill") child.signal("SIGKILL")
          else if (blow.kind === "interrupt") child.signal("SIGINT", true)
          else deflate = fill(folder)
          striking.say(`${blow.kind} after step ${stepsIn(run)} of ${plan.steps}`)
        }
      }
      if (!await within(patience(plan))) child.signal("SIGKILL", true)
      const ended = await child.ended
      deflate()
      ends.push({ ended, blow: struck })
      wrong.push(...wrongEnd(ended, struck, plan))
      if (ended.code === 0) break
    }
    return { ends, account: accountOf(server), server, broken: wrong }
  } finally {
    await server.close()
  }
}

/** @param folder empty, on the disk that fills; both runs are in it afterwards, each beside its account @param temporary on another disk */
export const cycle = async (plan: Plan, folder: string, temporary: string, disk: DiskKind, say: (line: string) => void): Promise<Cycle> => {
  const at = (which: "alone" | "struck") => path.join(folder, which)
  const blows = disk === "none" ? plan.blows.filter(({ kind }) => kind !== "disk") : plan.blows
  const alone = await drive(plan, at("alone"), temporary)
  const seconds = alone.ends.at(-1)!.ended.seconds
  say(`left alone: ${seconds.toFixed(1)} s, ${plan.steps} steps of ${plan.lossType} at staleness ${plan.maxStaleness}`)
  const struck = alone.broken.length > 0 ? undefined : await drive({ ...plan, blows }, at("struck"), temporary, { seconds, disk, say })
  const both = [alone, ...struck === undefined ? [] : [struck]]
  const wrong = both.flatMap((driven, n) => {
    const which = n === 0 ? "alone" : "struck"
    fs.writeFileSync(path.join(at(which), "account.json"), JSON.stringify(driven.account))
    return driven.broken.length > 0 ? driven.broken : broken(runIn(folder, which), plan, driven.account)
  })
  const growth = growthOf(alone.ends[0]!.ended.memory)
  const ends = both.flatMap(({ ends }) => ends)
  const of = (kind: Blow["kind"]) => ends.filter(({ blow }) => blow === kind).length
  const faults: Record<string, number> = {}
  for (const { server } of both) for (const [kind, count] of Object.entries(server.faults())) faults[kind] = (faults[kind] ?? 0) + count
  const sum = (count: (driven: Driven) => number) => both.reduce((total, driven) => total + count(driven), 0)
  return {
    steps: both.length * plan.steps,
    processes: ends.length,
    blows: { kill: of("kill"), interrupt: of("interrupt"), disk: of("disk") },
    faults,
    requests: sum(({ server }) => server.requests()),
    charged: sum(({ account }) => Object.keys(account.charged).length),
    replayed: sum(({ server }) => server.replayed()),
    peak: Math.max(0, ...ends.flatMap(({ ended }) => ended.memory)),
    growth,
    broken: [
      ...wrong,
      ...wrong.length === 0 ? differences(runIn(folder, "alone"), runIn(folder, "struck")) : [],
      ...plan.steps >= 40 && growth > mostGrowth ? [`Memory: a run held ${growth.toFixed(2)} times as much in its last third as in its middle third.`] : []
    ]
  }
}
