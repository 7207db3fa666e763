/** `vequinox judge-pairs` as people meet it: real processes, a server on a real socket, a run's own database. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect } from "effect"
import { assert, describe, it } from "vitest"
import * as bufferSqlite from "../../layers/buffer/sqlite.ts"
import { Candidate, type Drawing, JudgedPair, Verdict } from "../../src/domain.ts"
import { PreferenceBuffer } from "../../src/stages/PreferenceBuffer.ts"
import { cohenKappa, wilson } from "../../src/evaluation/statistics.ts"
import { startClaudeServer } from "../support/claude-server.ts"
import { svgPair } from "../support/scene-pairs.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const root = path.resolve(import.meta.dirname, "../..")
const work = scratchFolder("pairs")

/** @param interruptWhen sends Ctrl-C, once */
const vequinox = (args: ReadonlyArray<string>, env: Record<string, string> = {}, interruptWhen = () => false) =>
  new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn(process.execPath, [path.join(root, "src/main.ts"), ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache"), ...env }
    })
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (text) => (stdout += text))
    child.stderr.on("data", (text) => (stderr += text))
    const watch = setInterval(() => {
      if (!interruptWhen()) return
      clearInterval(watch)
      child.kill("SIGINT")
    }, 5)
    child.on("close", (code) => {
      clearInterval(watch)
      resolve({ code, stdout, stderr })
    })
  })
const file = (name: string, content: string): string => {
  fs.mkdirSync(path.dirname(path.join(work, name)), { recursive: true })
  fs.writeFileSync(path.join(work, name), content)
  return path.join(work, name)
}
const jsonl = (rows: ReadonlyArray<unknown>) => rows.map((row) => JSON.stringify(row) + "\n").join("")
const lines = (text: string) => text.trim().split("\n").map((line) => JSON.parse(line))

describe.concurrent("judge-pairs", () => {
  it("asks Claude in batches about a file's pairs; Ctrl-C leaves the batch, and the same command reads it and continues", async () => {
    const server = await startClaudeServer({ batches: { delay: Infinity } })
    try {
      const pairs = [0, 1, 2, 3].map(svgPair)
      const rows = pairs.map(({ bad, good, prompt }, n) => {
        if (n % 2 === 1) return { prompt: prompt.text, a_svg: bad, b_svg: good, by: "clip", verdict: n === 1 ? "A" : "B" }
        file(`drawings/good-${n}.svg`, good)
        file(`drawings/bad-${n}.svg`, n === 0 ? bad : "this is no drawing")
        return { prompt: prompt.text, a: `good-${n}.svg`, b: `bad-${n}.svg` }
      })
      const out = path.join(work, "verdicts.jsonl")
      const ask = ["judge-pairs", "--pairs", file("drawings/pairs.jsonl", jsonl(rows)), "--judge", "claude", "--judge-batch", "--out", out]
      const env = { ANTHROPIC_API_KEY: "sk-test", ANTHROPIC_BASE_URL: server.url }

      const stopped = await vequinox(ask, env, () => server.batches.batches.length > 0)
      assert.notStrictEqual(stopped.code, 0)
      assert.match(stopped.stderr, /claude-haiku-4-5 may be asked 8 times for up to 4 pairs: about \$0\.01/)
      assert.match(stopped.stderr, /Stopped after 0 of 4 pairs; the same command continues after them\. Batches continue without us\./)
      server.batches.release()

      const ended = await vequinox(ask, env)
      assert.strictEqual(ended.code, 0, ended.stderr)
      const judged = lines(fs.readFileSync(out, "utf8"))
      assert.deepStrictEqual(judged.map(({ verdict }) => verdict), ["A", "B", "A", "B"])
      assert.deepStrictEqual(judged.map(({ by }) => by), ["claude", "claude", "gate", "claude"])
      assert.deepStrictEqual(judged.map(({ earlier }) => earlier?.verdict), [undefined, "A", undefined, "B"])
      assert.deepStrictEqual([judged[0].a, judged[0].b, judged[0].prompt], ["good-0.svg", "bad-0.svg", pairs[0]!.prompt.text])
      assert.closeTo(judged[0].costUsd, 0.0021, 1e-9)
      assert.match(judged[0].reason, /semantic match/)
      assert.match(ended.stderr, /4 pairs judged by claude: 0 ties, 0 failed, \$0\.0063; .*50\.0 % of 2 \[9\.5 %, 90\.5 %\], Cohen's kappa 0\.00\./)
      assert.strictEqual(server.batches.batches.length, 1)
      assert.isTrue([...server.batches.charged().times.values()].every((n) => n === 1))

      // A process that was killed while it wrote: the whole rows stay, and what was paid is not paid again.
      const whole = fs.readFileSync(out, "utf8")
      fs.writeFileSync(out, whole.slice(0, whole.indexOf("\n") + 40))
      const again = await vequinox([...ask, "--json"], env)
      assert.strictEqual(again.code, 0, again.stderr)
      assert.deepStrictEqual(lines(fs.readFileSync(out, "utf8")).map(({ verdict }) => verdict), ["A", "B", "A", "B"])
      assert.deepInclude(JSON.parse(again.stdout), { pairs: 4, A: 2, B: 2, ties: 0, failed: 0 })
      assert.strictEqual(server.batches.batches.length, 1)
    } finally {
      await server.close()
    }
  }, 180_000)

  it("judges a run's pairs again and says how far the two judges agree", async () => {
    const run = path.join(work, "run")
    fs.mkdirSync(run)
    const outcomes = ["A", "B", "tie", "failed"] as const
    const drawings: Array<Drawing> = []
    const pairs = Array.from({ length: 12 }, (_, n) => {
      const { bad, good, prompt } = svgPair(n)
      const candidate = (svg: string, index: number) =>
        new Candidate({ prompt, step: 3, index, policyVersion: 3, seed: 0, promptIds: [1], completionIds: [2], logps: [-1], svg, finish: "eos" })
      const [a, b] = [candidate(good, 0), candidate(n === 5 ? "no drawing" : bad, 1)]
      for (const candidate of [a, b]) drawings.push({ candidate, rendering: { _tag: "Rejected", reason: "no-svg", detail: "" } })
      const verdict = n === 5 ? { outcome: "A", by: "gate" } as const : { outcome: outcomes[n % 4]!, by: "clip" }
      return new JudgedPair({ a, b, verdict: new Verdict({ ...verdict, confidence: 0 }) })
    })
    await Effect.runPromise(
      Effect.flatMap(PreferenceBuffer, (buffer) =>
        buffer.put({ step: 3, policyVersion: 3, drawings, pairs, lessons: [], seconds: { sample: 0, render: 0, judge: 0 } })).pipe(
          Effect.provide(bufferSqlite.layer({ path: path.join(run, "run.db"), maxStaleness: 0, staleWeight: 1 }))
        )
    )
    const { code, stderr, stdout } = await vequinox(["judge-pairs", "--run", run, "--judge", "coin", "--json"])
    assert.strictEqual(code, 0, stderr)
    const rows = lines(stdout)
    assert.strictEqual(rows.length, 11) // the gate's is no judge's
    for (const { a, b, by, earlier, step } of rows) assert.deepStrictEqual({ a, b, by, step, earlier: earlier.by }, { a: 0, b: 1, by: "coin", step: 3, earlier: "clip" })
    for (const { earlier, prompt } of rows) {
      assert.strictEqual(earlier.verdict, pairs.find(({ a }) => a.prompt.text === prompt)!.verdict.outcome)
    }
    const both = rows.filter(({ earlier }) => earlier.verdict !== "failed").map(({ earlier, verdict }) => [earlier.verdict, verdict] as const)
    const { agreement, kappa, pairs: n } = JSON.parse(stderr)
    assert.strictEqual(n, 11)
    assert.deepStrictEqual(agreement, { ...wilson(both.filter(([a, b]) => a === b).length, both.length), n: 8 })
    assert.closeTo(kappa, cohenKappa(both), 1e-12)
  }, 180_000)

  const refused = async (args: ReadonlyArray<string>, expected: RegExp) => {
    const { code, stderr, stdout } = await vequinox(["judge-pairs", "--judge", "coin", ...args])
    assert.notStrictEqual(code, 0, stdout)
    assert.match(stderr, expected)
    assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
  }
  const good = { prompt: "one red circle", a_svg: "<svg/>", b_svg: "<svg/>" }
  it("neither a file nor a run", () => refused([], /give either --pairs FILE\.jsonl or --run RUN/), 180_000)
  it("a line that is no JSON", () => refused(["--pairs", file("x.jsonl", jsonl([good]) + "{\"prompt\"\n")], /x\.jsonl, line 2: /), 180_000)
  it("a drawing that is missing", () =>
    refused(["--pairs", file("y.jsonl", jsonl([good, { prompt: "p", a: "gone.svg", b_svg: "" }]))], /y\.jsonl, line 2: .*gone\.svg cannot be read: it does not exist/), 180_000)
  it("results of other pairs", () => {
    const row = { prompt: "another", a: "x", b: "y", verdict: "A", confidence: 1, scores: null, by: "coin", reason: null, costUsd: 0, judge: "coin" }
    return refused(["--pairs", file("z.jsonl", jsonl([good])), "--out", file("z-out.jsonl", jsonl([row]))], /z-out\.jsonl, line 1, is of another pair: choose another --out/)
  }, 180_000)
})
