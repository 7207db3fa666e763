/** Runs that tell trackers their numbers, as processes: what trackers do wrong costs a run seconds, and nothing else. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import { closing } from "../../layers/tracker/bounded.ts"
import { bareRun, commandLine, killableIn, refusedInOneLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"
import { readEvents } from "../support/tfevents.ts"
import { collector, dyingServer, hangingServer, refusingAddress, trackioServer } from "../support/tracker-servers.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

const steps = 3
const brief = [...bareRun, "--steps", String(steps), "--prompts-per-step", "1", "--k", "2", "--json"]
const everywhere = ["--report-to", "tensorboard,trackio,otlp", "--log-completions"]
const token = "write-token-0123456789"
const key = "an-ingest-key-0123456789"
const secrets = { TRACKIO_WRITE_TOKEN: token, OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${key}`, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" }

const filesOf = (folder: string) =>
  fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => fs.statSync(path.join(folder, name)).isFile()).sort()
const adapterOf = (folder: string) => createHash("sha256").update(fs.readFileSync(path.join(folder, "adapter/adapter_model.safetensors"))).digest("hex")
const summaryOf = (folder: string) => JSON.parse(fs.readFileSync(path.join(folder, "summary.json"), "utf8"))
/** Seconds from the last checkpoint to the summary: trackers end between the two. */
const endedAfter = (folder: string) => {
  const written = (name: string) => fs.statSync(path.join(folder, name)).mtimeMs / 1000
  return written("summary.json") - written(`checkpoints/step-${steps}/state.json`)
}
const stepsIn = (folder: string) => readEvents(path.join(folder, "tensorboard")).seen

describe("a run and its trackers", () => {
  const plain = path.join(work, "plain")
  beforeAll(async () => {
    const { code, stderr } = await vequinox({}, "train", ...brief, "--out", plain)
    assert.strictEqual(code, 0, stderr)
  })

  it("without them it writes no file more, and remembers none", () => {
    assert.isFalse(filesOf(plain).some((name) => /tensorboard|completions/.test(name)))
    assert.notProperty(JSON.parse(fs.readFileSync(path.join(plain, "config.json"), "utf8")), "run_id")
    assert.notMatch(fs.readFileSync(path.join(plain, "metrics.jsonl"), "utf8"), /tracker/)
  })

  it("tells all of them everything, and learns the same", () =>
    during(trackioServer(token), ({ logs, url }) =>
      during(collector(), async (otlp) => {
        const run = path.join(work, "told")
        const { code, stderr, stdout } = await vequinox({ ...secrets, OTEL_EXPORTER_OTLP_ENDPOINT: otlp.url }, "train", ...brief, ...everywhere, "--trackio-url", url, "--project", "icons", "--out", run)
        assert.strictEqual(code, 0, stderr)
        assert.strictEqual(adapterOf(run), adapterOf(plain))
        assert.deepStrictEqual(stepsIn(run), [0, 1, 2, 3])
        assert.deepStrictEqual([...logs.values()].map(({ project, run, step }) => [project, run, step]), [0, 1, 2, 3].map((step) => ["icons", "told", step]))
        assert.strictEqual([...logs.values()][0]!.config!["max_steps"], steps)
        assert.strictEqual(otlp.spans.at(-1)!.name, "vequinox.run")
        assert.strictEqual(otlp.gauges.get("vequinox.policyVersion"), JSON.parse(stdout.split("\n")[steps - 1]!).policyVersion)
        assert.deepStrictEqual(fs.readdirSync(path.join(run, "completions")), [0, 1, 2].map((n) => `completions_0000${n}.parquet`))
        assert.deepStrictEqual(summaryOf(run).faults, summaryOf(plain).faults)
        for (const name of filesOf(run)) {
          const bytes = fs.readFileSync(path.join(run, name))
          for (const secret of [token, key]) assert.isFalse(bytes.includes(secret), name)
        }
        for (const secret of [token, key]) assert.notInclude(stdout + stderr, secret)
      })))

  const faults: ReadonlyArray<readonly [string, number, () => Promise<{ readonly url: string; readonly close: () => Promise<void> }>]> = [
    ["hang", closing, hangingServer],
    ["refuse", 0, async () => ({ url: await refusingAddress(), close: async () => {} })],
    ["die", 0, dyingServer]
  ]
  for (const [what, wait, start] of faults) {
    it(`ends well where all servers ${what}, at most ${wait} s later, and says what they were not told`, () =>
      during(start(), async ({ url }) => {
        const run = path.join(work, what)
        const { code, stderr, stdout } = await vequinox({ ...secrets, OTEL_EXPORTER_OTLP_ENDPOINT: url }, "train", ...brief, ...everywhere, "--trackio-url", url, "--out", run)
        assert.strictEqual(code, 0, stderr)
        assert.isBelow(endedAfter(run), endedAfter(plain) + wait + 3)
        assert.strictEqual(adapterOf(run), adapterOf(plain))
        assert.deepStrictEqual(stepsIn(run), [0, 1, 2, 3])
        const { faults } = summaryOf(run)
        assert.strictEqual(faults["tracker/trackio/dropped"], steps + 1)
        assert.isAtLeast(faults["tracker/otlp/dropped"], 1)
        assert.notProperty(faults, "tracker/tensorboard/dropped")
        assert.match(stderr, /trackio was not told everything/)
        for (const secret of [token, key]) assert.notInclude(stdout + stderr, secret)
      }))
  }

  it("a killed run goes on in the same curves: no step twice, none left out", () =>
    during(trackioServer(undefined), async ({ logs, url }) => {
      const run = path.join(work, "killed")
      const start = killableIn(work)
      const long = [...bareRun, "--steps", "8", "--prompts-per-step", "1", "--k", "2", "--save-steps", "3", "--json", "--report-to", "tensorboard,trackio", "--log-completions"]
      const { signal } = await start(["train", ...long, "--trackio-url", url, "--out", run], { said: "\n", times: 5 })
      assert.strictEqual(signal, "SIGKILL")
      const { code, stderr } = await start(["train", "--resume", run])
      assert.strictEqual(code, 0, stderr)
      assert.deepStrictEqual(stepsIn(run), Array.from({ length: 9 }, (_, n) => n))
      assert.deepStrictEqual([...logs.values()].map(({ step }) => step).sort(), Array.from({ length: 9 }, (_, n) => n))
      assert.strictEqual(new Set([...logs.values()].map(({ run_id }) => run_id)).size, 1)
      assert.strictEqual(fs.readdirSync(path.join(run, "completions")).length, 8)
      assert.strictEqual(fs.readdirSync(path.join(run, "tensorboard")).length, 2)
    }))

  it("sft tells them too, and a stopped one goes on in its curves", () =>
    during(trackioServer(undefined), async ({ logs, url }) => {
      const rows = path.join(work, "rows.jsonl")
      fs.writeFileSync(rows, ["red", "blue", "green"].map((color) =>
        JSON.stringify({ prompt: `a ${color} circle`, completion: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="9" fill="${color}"/></svg>` })).join("\n"))
      const out = path.join(work, "tuned")
      const start = killableIn(work)
      const sft = ["sft", "--data", rows, "--out", out, "--steps", "6", "--batch-size", "2", "--lora-r", "2", "--threads", "1", "--save-steps", "2", "--json", "--report-to", "tensorboard,trackio", "--trackio-url", url, "--run-name", "circles"]
      assert.strictEqual((await start(sft, { said: "\n", times: 3 })).signal, "SIGKILL")
      const { code, stderr } = await start(sft)
      assert.strictEqual(code, 0, stderr)
      const told = [...logs.values()].filter(({ run_id }) => run_id === [...logs.values()][0]!.run_id)
      assert.deepStrictEqual([...new Set(told.map(({ step }) => step))].sort(), [1, 2, 3, 4, 5, 6])
      assert.isTrue(told.every(({ run }) => run === "circles"))
      const [id] = fs.readdirSync(`${out}.tensorboard`)
      assert.deepStrictEqual(readEvents(path.join(`${out}.tensorboard`, id!)).seen, [1, 2, 3, 4, 5, 6])
      assert.isFalse(filesOf(out).some((name) => name.includes("tfevents")))
    }))
})

describe("trackers that cannot be told are refused before a run begins", () => {
  const out = path.join(work, "refused")
  const refused = (expected: RegExp, env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) => async () => {
    await refusedInOneLine(vequinox(env, "train", ...brief, "--out", out, ...args), expected, token)
    assert.isFalse(fs.existsSync(out))
  }
  it("a Trackio whose address is unknown", refused(/^vequinox: Trackio's server is not known: give its address with --trackio-url/, {}, "--report-to", "trackio"))
  it("an address that is none", refused(/^vequinox: TRACKIO_SERVER_URL is not an address/, { TRACKIO_SERVER_URL: token }, "--report-to", "trackio"))
  it("a token that config.json would keep", refused(/^vequinox: --trackio-url is stored in config\.json, so it may hold no token/, {}, "--report-to", "trackio", "--trackio-url", `http://127.0.0.1:1/?write_token=${token}`))
  it("a tracker that there is not", refused(/^vequinox: --report-to is "wandb": .*tensorboard/, {}, "--report-to", "wandb"))
})
