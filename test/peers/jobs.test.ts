/**
 * Rounds on a real Ray, by the real `trl dpo`: the tokens it trains, its numbers beside our trainer's, and a run whose process is
 * killed in the middle of a round. JOBS_PYTHON names a Python that has ray and trl; without one the tests are skipped.
 */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { rayJobs } from "../../layers/job/ray.ts"
import { rowsOf } from "../../layers/job/rows.ts"
import { sharedFolder } from "../../layers/job/shared-folder.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import * as OptimizerJob from "../../layers/optimizer/job.ts"
import * as OptimizerOnnx from "../../layers/optimizer/onnx.ts"
import * as SamplerOnnx from "../../layers/sampler/onnx.ts"
import { Preference } from "../../src/domain.ts"
import { embeddedPrompts } from "../../src/prompts.ts"
import { Optimizer } from "../../src/stages/Optimizer.ts"
import { Sampler } from "../../src/stages/Sampler.ts"
import { verdict } from "../stages/make.ts"
import { commandLine } from "../support/command-line.ts"
import { checkpoint, lora, parameters, sampling, tokenizer } from "../support/embedded-policy.ts"
import { initial, jobOptions } from "../support/job-options.ts"

const python = process.env["JOBS_PYTHON"] ?? "python3"
const beside = (name: string) => path.join(path.dirname(path.resolve(python)), name)
const script = path.resolve(import.meta.dirname, "../../bench/peers/trl_rows.py")
const main = path.resolve(import.meta.dirname, "../../src/main.ts")
const read = (...args: ReadonlyArray<string>): any =>
  JSON.parse(execFileSync(python, [script, ...args], { encoding: "utf8", maxBuffer: 1e9, stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, HF_HUB_OFFLINE: "1" } }).trim().split("\n").at(-1)!)

const versions = (() => {
  try {
    return read("versions")
  } catch {
    return undefined
  }
})()
console.error(versions === undefined ? `JOBS_PYTHON (${python}) has no ray and trl: no jobs are run. test/peers/README.md says how to install them.` : JSON.stringify(versions))

const minutes = 60_000
const port = 45_000 + process.pid % 2000
const url = `http://127.0.0.1:${port}`

describe.skipIf(versions === undefined)("rounds of trl dpo on Ray", () => {
  const { remove, work } = commandLine()
  const temporary = fs.mkdtempSync("/tmp/vq-ray-") // short: paths of sockets are
  let head: ReturnType<typeof spawn>
  /** Ray's list of the jobs that a round was. */
  const rounds = async (): Promise<ReadonlyArray<{ readonly submission_id: string | null }>> =>
    (await (await fetch(`${url}/api/jobs/`)).json() as ReadonlyArray<{ readonly submission_id: string | null }>).filter(({ submission_id: id }) => id?.startsWith("vequinox-"))
  const startHead = () =>
    spawn(beside("ray"), [
      "start", "--head", "--block", "--port", String(port + 2500), "--dashboard-host", "127.0.0.1", "--dashboard-port", String(port), "--num-cpus", "2",
      "--object-store-memory", "100000000", "--disable-usage-stats", "--temp-dir", temporary,
      // Given ports need not be waited for: a raylet waits 15 s, which is too short on a busy machine.
      ...["dashboard-agent-grpc", "dashboard-agent-listen", "runtime-env-agent", "metrics-export"].flatMap((name, n) => [`--${name}-port`, String(port + 5000 + 2500 * n)])
    ], { stdio: "ignore", env: { ...process.env, RAY_agent_register_timeout_ms: "300000", PATH: `${path.dirname(beside("ray"))}:${process.env["PATH"]}`, HF_HUB_OFFLINE: "1" } })
  const ended = () => head.exitCode !== null || head.signalCode !== null
  const cluster = rayJobs({ url, token: undefined, gpus: 0 })
  /** A job that does nothing has succeeded: Ray's own processes are all there. */
  const isReady = async (): Promise<boolean> => {
    const spec = { id: "ready", command: ["true"] }
    while (!ended()) {
      const found = await Effect.runPromise(Effect.option(cluster.find(spec.id)))
      if (found._tag === "Some" && found.value === undefined) await Effect.runPromise(Effect.ignore(cluster.start(spec)))
      if (found._tag === "Some" && found.value?.status === "succeeded") {
        await Effect.runPromise(cluster.remove(spec.id))
        return true
      }
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
    return false
  }

  beforeAll(async () => {
    // On a busy machine Ray gives itself up while it starts.
    for (let tries = 0; tries < 6; tries++) {
      head = startHead()
      if (await isReady()) return
    }
    throw new Error("Ray does not start")
  }, 10 * minutes)
  afterAll(async () => {
    head.kill("SIGTERM")
    while (!ended()) await new Promise((resolve) => setTimeout(resolve, 200))
    fs.rmSync(temporary, { recursive: true, force: true })
    remove()
  }, 3 * minutes)

  /** Two drawings of each of so many prompts, as the sampler drew them; which is better does not matter here. */
  const drawn = (prompts: number): Promise<ReadonlyArray<Preference>> => Effect.runPromise(Effect.gen(function*() {
    const { sample } = yield* Sampler
    const groups = yield* sample({ prompts: embeddedPrompts(0).train.slice(0, prompts), k: 2, step: 0, seed: 5, policy: { version: 0, parameters } })
    return groups.map(([chosen, rejected]) => new Preference({ prompt: chosen!.prompt, chosen: chosen!, rejected: rejected!, label: 1, weight: 1, verdict: verdict() }))
  }).pipe(Effect.provide(SamplerOnnx.layer({ ...sampling, maxNumSeqs: 16, precision: "float32", cache: work }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 }))))))

  it("the rows: TRL trains exactly the tokens that were drawn", async () => {
    const pairs = await drawn(24)
    const rows = rowsOf(pairs, tokenizer)
    const folder = path.join(work, "rows")
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, "train.jsonl"), rows.text)
    assert.isAbove(rows.count, 12)
    const kept = pairs.filter((pair) => rowsOf([pair], tokenizer).count === 1)
    assert.deepStrictEqual(read(checkpoint.folder, folder), kept.map(({ chosen, rejected }) =>
      [chosen.promptIds, chosen.completionIds, rejected.completionIds, chosen.completionIds, rejected.completionIds]))
  }, 5 * minutes)

  it("a round asked for twice runs once; its numbers and its adapter are those of our own trainer", async () => {
    const pairs = await drawn(6)
    const folder = path.join(work, "shared")
    const layer = OptimizerJob.layer({
      ...jobOptions,
      steps: 5,
      cluster,
      files: sharedFolder({ folder, mount: folder, model: { name: checkpoint.folder, revision: undefined } }),
      poll: 2,
      tell: (line) => Effect.sync(() => console.error(line))
    })
    const once = Optimizer.use(({ step }) => step(pairs)).pipe(Effect.provide(layer))
    const [a, b] = await Effect.runPromise(Effect.all([once, once], { concurrency: 2 }))
    assert.deepStrictEqual(a.snapshot, b.snapshot)
    assert.strictEqual((await rounds()).length, 1)

    const { objective, options } = jobOptions
    const { losses, own } = await Effect.runPromise(Effect.gen(function*() {
      const { state, step } = yield* Optimizer
      const losses: Array<number> = []
      for (let n = 0; n < 5; n++) losses.push((yield* step(pairs)).metrics["loss"]!)
      return { losses, own: (yield* state).parameters }
    }).pipe(Effect.provide(OptimizerOnnx.layer({ checkpoint, lora, initial, objective, options }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 }))))))
    const loss = losses.reduce((sum, each) => sum + each) / 5
    let worst = 0
    for (const [name, { data }] of a.snapshot.parameters) for (const [i, value] of data.entries()) worst = Math.max(worst, Math.abs(value - own.get(name)!.data[i]!))
    console.error({ trl: a.metrics, ours: losses, worst })
    assert.closeTo(a.metrics["loss"]!, loss, 1e-3)
    assert.isAbove(a.metrics["rewards/margins"]!, 0)
    assert.isBelow(worst, 1e-3)
  }, 15 * minutes)

  it("a run that is killed in the middle of a round joins its job, and each round is one job", async () => {
    const run = path.join(work, "run")
    const before = (await rounds()).length
    const train = (args: ReadonlyArray<string>, until?: RegExp) =>
      new Promise<string>((resolve) => {
        const child = spawn(process.execPath, [main, "train", ...args], { cwd: work, env: { ...process.env } })
        let all = ""
        const hear = (text: Buffer) => {
          all += text
          if (until?.test(all)) child.kill("SIGKILL")
        }
        child.stdout.on("data", hear)
        child.stderr.on("data", hear)
        child.on("close", () => resolve(all))
      })
    const first = await train([
      "--optimizer", "job", "--job-url", url, "--job-steps", "5", "--job-command", beside("trl"), "--steps", "2", "--prompts-per-step", "8", "--num-generations", "4",
      "--warmup-steps", "0", "--eval-prompts", "0", "--save-steps", "1", "--out", run
    ], /Job vequinox-\S+: running/)
    assert.match(first, /Job vequinox-\S+ is started/)
    const second = await train(["--resume", run])
    assert.match(second, /Job vequinox-\S+ is (there already \((waiting|running|succeeded)\), and is joined|taken over)|is there already, and is taken over/)
    const jobs = (await rounds()).length - before
    const metrics = fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
    console.error(second.split("\n").slice(-12).join("\n"), metrics.map(({ loss }) => loss))
    assert.strictEqual(metrics.length, 2)
    assert.strictEqual(jobs, metrics.filter((line) => "loss" in line).length)
    assert.isTrue(metrics.every((line) => Number.isFinite(line["loss"]) && Number.isFinite(line["rewards/margins"])))
    // The next rollout was drawn from what the first job left.
    const taken = fs.readdirSync(path.join(run, "jobs")).sort()
    const [round] = taken
    const adapter = (...at: ReadonlyArray<string>) => fs.readFileSync(path.join(run, ...at, "adapter_model.safetensors"))
    assert.strictEqual(taken.length, 2)
    assert.isAbove(adapter("jobs", round!, "output", "checkpoint-5").length, 1000)
    assert.isTrue(fs.existsSync(path.join(run, "adapter", "adapter_model.safetensors")))
  }, 20 * minutes)
})
