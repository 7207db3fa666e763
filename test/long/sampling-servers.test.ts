/** A run that two `vequinox serve` draw for: what the local sampler's run has, also where one of them is killed and started again. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { bareRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const work = scratchFolder("sampling-servers-run")
const vequinox = killableIn(work)
const main = path.resolve(import.meta.dirname, "../../src/main.ts")
const settings = "--steps 5 --prompts-per-step 4 --k 3 --trust-pairs 0 --save-steps 2 --seed 3 --learning-rate 0.003".split(" ")

interface Serving {
  readonly child: ChildProcess
  readonly port: number
}
const serve = (port: number): Promise<Serving> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, "serve", "--port", String(port), "--json", "--threads", "1", "--adapters", "."], { cwd: work, env: { PATH: process.env["PATH"] } })
    let said = ""
    child.stderr.on("data", (text) => (said += text))
    child.stdout.on("data", (text: Buffer) => {
      said += text
      if (said.includes("\n")) resolve({ child, port: Number(new URL((JSON.parse(said.split("\n")[0]!) as { url: string }).url).port) })
    })
    child.once("close", () => reject(new Error(said)))
  })

let servers: Array<Serving> = []
beforeAll(async () => void (servers = [await serve(0), await serve(0)]), 60_000)
afterAll(() => servers.forEach(({ child }) => child.kill("SIGKILL")))

const remote = () => ["--sampler", "openai", ...servers.flatMap(({ port }) => ["--sampler-url", `http://127.0.0.1:${port}`])]
const train = (name: string, more: ReadonlyArray<string> = []) => ["train", ...settings, ...bareRun, "--out", name, ...more]
const adapter = (name: string) => fs.readFileSync(path.join(work, name, "adapter/adapter_model.safetensors"))
const metrics = (name: string): ReadonlyArray<Record<string, number>> =>
  fs.readFileSync(path.join(work, name, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
const own = (name: string) => fs.readFileSync(path.join(work, name, "preferences.jsonl"), "utf8")

describe("train --sampler openai, on two servers of our own", () => {
  it("draws and learns what the local sampler's run does, and holds each step's log-probabilities to the trainer's", async () => {
    for (const [name, more] of [["local", []], ["remote", remote()]] as const) {
      const { code, stderr } = await vequinox(train(name, more))
      assert.strictEqual(code, 0, stderr)
    }
    assert.isTrue(adapter("remote").equals(adapter("local")))
    assert.strictEqual(own("remote"), own("local"))
    for (const row of metrics("remote")) assert.isBelow(row["sampling/sampling_logp_difference/max"]!, 1e-4)
    assert.isFalse(fs.existsSync(path.join(work, "remote/sampler-adapters")))
    for (const { port } of servers) {
      const { data } = await (await fetch(`http://127.0.0.1:${port}/v1/models`)).json() as { readonly data: ReadonlyArray<unknown> }
      assert.lengthOf(data, 1) // only the base is left
    }
  }, 400_000)

  it("goes on while one of them is killed, and takes it back; the adapter is the same", async () => {
    const ended = vequinox(train("struck", [...remote(), "--json"]))
    const file = path.join(work, "struck/metrics.jsonl")
    while (!fs.existsSync(file) || !fs.readFileSync(file, "utf8").includes("\n")) await new Promise((resolve) => setTimeout(resolve, 20))
    const { child, port } = servers[1]!
    await new Promise((resolve) => (child.once("close", resolve), child.kill("SIGKILL")))
    await new Promise((resolve) => setTimeout(resolve, 500))
    servers = [servers[0]!, await serve(port)]
    const { code, stderr } = await ended
    assert.strictEqual(code, 0, stderr)
    assert.isTrue(adapter("struck").equals(adapter("local")))
  }, 400_000)

  it("killed itself, it is resumed bit for bit, on other servers", async () => {
    const killed = await vequinox(train("resumed", [...remote(), "--json"]), { said: "\"step\":2", times: 1 })
    assert.strictEqual(killed.signal, "SIGKILL")
    const { code, stderr } = await vequinox(["train", "--resume", "resumed", "--sampler-url", `http://127.0.0.1:${servers[0]!.port}`])
    assert.strictEqual(code, 0, stderr)
    assert.isTrue(adapter("resumed").equals(adapter("local")))
    assert.isFalse(fs.existsSync(path.join(work, "resumed/sampler-adapters")))
  }, 400_000)

  it("refuses what it cannot do, in one sentence, before anything is made", async () => {
    for (const [args, expected] of [
      [["--sampler", "openai"], /sampler openai draws on servers, and none is named: give --sampler-url/],
      [["--sampler-url", "http://127.0.0.1:1"], /sampler_url is about servers that draw, and there are none: give --sampler openai/],
      [["--sampler", "openai", "--sampler-url", "http://me:secret@127.0.0.1:1"], /may hold no key: give that in VEQUINOX_SAMPLER_API_KEY/]
    ] as const) {
      const { code, stderr } = await vequinox(train("none", args))
      assert.strictEqual(code, 1)
      assert.match(stderr, expected)
      assert.lengthOf(stderr.trim().split("\n"), 1)
      assert.isFalse(fs.existsSync(path.join(work, "none")))
    }
  }, 60_000)
})
