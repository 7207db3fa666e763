/**
 * A run that is killed, resumed and told to every tracker, as TensorBoard, Trackio and pyarrow read it. PEERS_PYTHON
 * names a Python that has them; without one the tests are skipped.
 */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { bareRun, commandLine } from "../support/command-line.ts"
import { readEvents } from "../support/tfevents.ts"

const python = process.env["PEERS_PYTHON"] ?? "python3"
const script = path.resolve(import.meta.dirname, "../../bench/peers/read_trackers.py")
const main = path.resolve(import.meta.dirname, "../../src/main.ts")
const read = (...args: ReadonlyArray<string>): any => JSON.parse(execFileSync(python, [script, ...args], { encoding: "utf8", maxBuffer: 1e9, stdio: ["ignore", "pipe", "ignore"] }))

const versions = (() => {
  try {
    return read("versions")
  } catch {
    return undefined
  }
})()
console.error(versions === undefined ? `${python} has no tensorboard, trackio and pyarrow: nothing is compared.` : JSON.stringify(versions))

const steps = 8
const saved = 3

/** The next line that a process prints, as JSON. */
const line = (process: ReturnType<typeof spawn>): Promise<any> =>
  new Promise((resolve) => createInterface(process.stdout!).once("line", (said) => resolve(JSON.parse(said))))

describe.skipIf(versions === undefined)("what a killed and resumed run wrote", () => {
  const { remove, work } = commandLine()
  const run = path.join(work, "run")
  const stored = path.join(work, "trackio")
  let metrics: ReadonlyArray<Record<string, number>> = []
  let server: ReturnType<typeof spawn>
  let collector: ReturnType<typeof spawn>
  let token = ""

  const train = (env: Readonly<Record<string, string>>, args: ReadonlyArray<string>, until?: number) =>
    new Promise<string>((resolve) => {
      const child = spawn(process.execPath, [main, "train", ...args], { cwd: work, env: { PATH: process.env["PATH"], ...env } })
      let [stdout, all] = ["", ""]
      child.stdout.on("data", (text) => {
        stdout += text
        all += text
        if (until !== undefined && stdout.split("\n").length > until) setTimeout(() => child.kill("SIGKILL"), 300)
      })
      child.stderr.on("data", (text) => (all += text))
      child.on("close", () => resolve(all))
    })

  beforeAll(async () => {
    server = spawn(python, [script, "serve", stored], { stdio: ["pipe", "pipe", "ignore"] })
    collector = spawn(python, [script, "collect"], { stdio: ["pipe", "pipe", "ignore"] })
    const { url } = await line(server)
    token = new URL(url).searchParams.get("write_token")!
    const env = { TRACKIO_SERVER_URL: url, OTEL_EXPORTER_OTLP_ENDPOINT: (await line(collector)).url }
    const first = ["--steps", String(steps), "--save-steps", String(saved), "--prompts-per-step", "2", "--report-to", "tensorboard,trackio,otlp", "--log-completions", "--json", "--out", run]
    await train(env, [...bareRun, ...first], saved + 2)
    const seen = readEvents(path.join(run, "tensorboard")).seen
    assert.isAbove(seen.at(-1)!, saved - 1, "the killed process has told steps that are made again")
    fs.cpSync(path.join(run, "tensorboard"), path.join(work, "watched"), { recursive: true })
    assert.notInclude(await train(env, ["--resume", run]), token)
    metrics = fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8").trim().split("\n").map((own) => JSON.parse(own))
    assert.strictEqual(metrics.length, steps)
  })
  afterAll(() => {
    server.stdin!.end()
    remove()
  })
  const curve = (tag: string) => metrics.map((own) => [own["step"], own[tag]] as const)
  const equal = (found: ReadonlyArray<readonly [number, number]>, tag: string) => {
    assert.deepStrictEqual(found.map(([step]) => step), curve(tag).map(([step]) => step), tag)
    for (const [n, [, value]] of found.entries()) assert.closeTo(value, curve(tag)[n]![1]!, 1e-6 * Math.max(1, Math.abs(value)), tag)
  }
  const compared = ["loss", "rewards/margins", "svg/valid", "policyVersion"]

  it("TensorBoard's Python reader: each step once, ours equal to it", () => {
    const { scalars, text } = read("events", path.join(run, "tensorboard"))
    for (const tag of compared) equal(scalars[tag], tag)
    assert.include(text.at(-1), "\"max_steps\"")
    const own = readEvents(path.join(run, "tensorboard"))
    assert.deepStrictEqual(own.seen, Array.from({ length: steps + 1 }, (_, n) => n)) // and what was measured at the end
    for (const tag of compared) assert.deepStrictEqual(own.scalars.filter((one) => one.tag === tag).map(({ step, value }) => [step, value]), scalars[tag])
  })

  it("a TensorBoard that read the killed process's file while it grew: each step once", () => {
    const { scalars } = read("watched", path.join(work, "watched"), path.join(run, "tensorboard"))
    for (const tag of compared) equal(scalars[tag], tag)
  })

  it("a TensorBoard server, whose reader is another: each step once", () => {
    const runs = read("board", run)
    assert.deepStrictEqual(Object.keys(runs), ["tensorboard"])
    for (const tag of compared) equal(runs["tensorboard"][tag], tag)
  })

  it("Trackio's import of the event files", () => {
    const runs = read("import", path.join(run, "tensorboard"), path.join(work, "imported"))
    const logs = Object.values<any>(runs)[0].logs as ReadonlyArray<Record<string, number>>
    for (const tag of compared) equal(logs.filter((log) => tag in log).map((log) => [log["step"]!, log[tag]!] as const), tag)
  })

  it("a Trackio server: one run, each step once, the settings", () => {
    const runs = read("trackio", stored, "vequinox")
    assert.deepStrictEqual(Object.keys(runs), ["run"])
    const { config, logs } = runs["run"]
    for (const tag of compared) equal(logs.filter((log: any) => tag in log).map((log: any) => [log.step, log[tag]] as const), tag)
    assert.strictEqual(config.max_steps, steps)
  })

  it("pyarrow: a table a step, in TRL's columns", () => {
    const { files, schema } = read("parquet", path.join(run, "completions"))
    assert.deepStrictEqual(Object.keys(files), metrics.map((_, n) => `completions_${String(n).padStart(5, "0")}.parquet`))
    assert.deepStrictEqual(schema, {
      step: "int64", prompt: "string", completion: "string", clip: "double", outcome: "string", tokens: "int64", policy_version: "int64", advantage: "double"
    })
    for (const [n, rows] of Object.values<ReadonlyArray<Record<string, unknown>>>(files).entries()) {
      assert.strictEqual(rows.length, 2 * 4)
      assert.isTrue(rows.every(({ policy_version, step }) => step === n && policy_version === metrics[n]!["policyVersion"]))
    }
  })

  it("an OTLP collector: the newest numbers, and spans under one root for the process that ended", async () => {
    collector.stdin!.end()
    const { gauges, spans } = await line(collector)
    for (const tag of compared) assert.strictEqual(gauges[`vequinox.${tag.replaceAll("/", ".")}`], metrics.at(-1)![tag], tag)
    const roots = spans.filter(([, , parent]: ReadonlyArray<string>) => parent === "")
    assert.deepStrictEqual(roots.map(([name]: ReadonlyArray<string>) => name), ["vequinox.run"])
    for (const name of ["runTraining", "pipeline.sample", "pipeline.judge", "pipeline.optimize"]) assert.isTrue(spans.some(([own]: ReadonlyArray<string>) => own === name), name)
  })

  it("the server's token is in no file of the run", () => {
    assert.isAbove(token.length, 8)
    for (const name of fs.readdirSync(run, { recursive: true, encoding: "utf8" })) {
      const file = path.join(run, name)
      if (fs.statSync(file).isFile()) assert.isFalse(fs.readFileSync(file).includes(token), name)
    }
  })
})
