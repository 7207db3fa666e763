/** Two minutes of `pnpm run soak`, and that its check sees what it is there to see. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect } from "effect"
import { afterAll, assert, describe, it } from "vitest"
import { drive, steps } from "../survival/drive.ts"
import { advantageBreaches, breaches, changes, otherTokens } from "./breaches.ts"
import { type Account, broken, type Expected } from "./check.ts"
import { runIn, wrongEnd } from "./cycle.ts"
import type { Figures } from "./main.ts"
import { type Plan, planOf } from "./plan.ts"
import type { Ended } from "./processes.ts"
import { differences } from "./same.ts"

const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-soak-test-"))
const keep = path.join(work, "kept")
/** The last cycle that learned from preferences; the first one does. */
const kept = path.join(keep, "sigmoid")
afterAll(() => fs.rmSync(work, { recursive: true, force: true }))

/** A copy of the kept run that was left alone. */
const copyOf = (name: string): string => {
  fs.cpSync(path.join(kept, "alone"), path.join(work, name), { recursive: true })
  return path.join(work, name, "run")
}
const read = <A>(name: string): A => JSON.parse(fs.readFileSync(path.join(kept, name), "utf8"))

describe("a soak of two minutes", () => {
  it("breaks no invariant", async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const { stderr, stdout } = await new Promise<{ readonly stdout: string; readonly stderr: string }>((resolve) =>
      execFile(
        process.execPath,
        [path.join(import.meta.dirname, "./main.ts"), "--minutes", "2", "--json", "--seed", String(seed), "--keep", keep],
        { maxBuffer: 1e8 },
        (_error, stdout, stderr) => resolve({ stdout, stderr })
      )
    )
    const said = `seed ${seed}: ${stderr}`
    assert.match(stdout, /^\{/, said)
    const { blows, broken, charged, disk, drawings, faults, hostile, memory, processes } = JSON.parse(stdout) as Figures
    assert.deepStrictEqual(broken, [], said)
    assert.isAtLeast(blows.kill + blows.interrupt + blows.disk, 1, said)
    assert.isAtLeast(Object.keys(faults).length, 5, said)
    const all = Object.values(hostile).reduce((a, b) => a + b, 0)
    assert.isTrue(all > 0.1 * drawings && all < 0.5 * drawings, said)
    assert.isAtLeast(processes, 4, said)
    assert.isAtLeast(charged, 20, said)
    if (process.platform === "linux") assert.isAtLeast(memory.peak ?? 0, 1e8, said)
    if (disk === "none") console.log("The disk was never full: neither unshare nor strace may be used here.")
  }, 400_000)

  it("would have seen every breach that is planted", () => {
    const [plan, account] = [read<Plan>("plan.json"), read<Account>("alone/account.json")]
    for (const [n, { breaks, name, plant }] of breaches.entries()) {
      const run = copyOf(`breach-${n}`)
      const found = broken(run, plan, plant(run, account) ?? account)
      assert.isTrue(found.some((sentence) => breaks.test(sentence)), `${name}: ${found.join(" ")}`)
    }
  })

  it("would have seen a trainer that sees other tokens in a run that learns from advantages, where the time was enough for one", ({ skip }) => {
    const other = path.join(keep, "reinforce")
    if (!fs.existsSync(other)) skip("there was only one cycle")
    const [plan, account] = ["plan.json", "alone/account.json"].map((name) => JSON.parse(fs.readFileSync(path.join(other, name), "utf8"))) as [Plan, Account]
    for (const { breaks, plant } of [...advantageBreaches, otherTokens]) {
      const copy = fs.mkdtempSync(path.join(work, "reinforce-"))
      fs.cpSync(path.join(other, "alone"), copy, { recursive: true })
      plant(path.join(copy, "run"), account)
      assert.isTrue(broken(path.join(copy, "run"), plan, account).some((sentence) => breaks.test(sentence)), String(breaks))
    }
  })

  it("would have seen every breach that is planted in a run that learns from advantages", async () => {
    // Nobody asked a server here and no model was trained, so only what is said of lessons counts.
    const whole = path.join(work, "driven")
    fs.mkdirSync(whole)
    await Effect.runPromise(drive(whole, 0, { lessons: "advantages" }))
    const account: Account = { charged: {}, useless: [], usd: 0, bodies: [] }
    const expected: Expected = { steps, maxStaleness: 1, promptsPerStep: 2, k: 3, hostile: 0, lossType: "reinforce" }
    const before = broken(whole, expected, account)
    assert.isEmpty(before.filter((sentence) => /lesson|advantage/.test(sentence)), before.join(" "))
    for (const [n, { breaks, name, plant }] of advantageBreaches.entries()) {
      const run = path.join(work, `driven-${n}`)
      fs.cpSync(whole, run, { recursive: true })
      plant(run, account)
      const found = broken(run, expected, account)
      assert.isTrue(found.some((sentence) => breaks.test(sentence)), `${name}: ${found.join(" ")}`)
    }
  })

  it("would have seen any difference between the two runs", () => {
    const [alone, struck] = [runIn(kept, "alone"), runIn(kept, "struck")]
    assert.deepStrictEqual(differences(alone, struck), [])
    for (const [part, change] of Object.entries(changes)) {
      const run = copyOf(`change-${part}`)
      change(run)
      assert.match(differences(run, struck).join(), new RegExp(`another ${part} than`))
    }
  })

  it("knows a good end of a process from a bad one", () => {
    const good: Ended = { code: 0, signal: null, said: "", seconds: 9, memory: [4e8], left: 0 }
    const full = "vequinox: run.db cannot grow: the disk is full.\n"
    const of = (ended: Partial<Ended>, blow?: "kill" | "interrupt" | "disk") => wrongEnd({ ...good, ...ended }, blow, { steps: 4 }).join()
    assert.deepStrictEqual(
      [of({}), of({ code: null, signal: "SIGKILL" }, "kill"), of({ code: 130 }, "interrupt"), of({ code: 1, said: full }, "disk")],
      ["", "", "", ""]
    )
    assert.match(of({ code: null, signal: "SIGSEGV" }, "disk"), /^Invariant 7: a process was ended by a native fault/)
    assert.match(of({ left: 2 }), /^Invariant 7: 2 child processes were left behind/)
    assert.match(of({ memory: [4e8, 2e9] }), /held 2000 MB/)
    assert.match(of({ code: 1, said: full }), /did not end as it must/)
    assert.match(of({ code: 1, said: `${full}${full}` }, "disk"), /did not end as it must/)
    assert.match(of({ code: 1, said: `${full}    at Object.writeSync (fs.js:1)` }, "disk"), /did not end as it must/)
    assert.match(of({ code: null, signal: "SIGKILL", seconds: 1e4 }), /did not end within 160 s/)
  })

  it("does the same again for a seed, and all that it can do in its first cycles", () => {
    assert.deepStrictEqual(planOf(5, 1, "mixed"), planOf(5, 1, "mixed"))
    for (const seed of [0, 1, 2]) {
      const plans = [planOf(seed, 0, "mixed"), planOf(seed, 1, "mixed")]
      assert.deepStrictEqual(plans.map(({ maxStaleness }) => maxStaleness).sort(), [0, 1])
      for (const { blows } of plans) assert.strictEqual(new Set(blows.map(({ kind }) => kind)).size, 3)
    }
  })
})
