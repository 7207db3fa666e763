/** Models of the Hub as people meet them: real processes, the embedded models on a server on a real socket. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { bareRun, commandLine } from "../support/command-line.ts"
import { blobOf, commitA, type HubServer, sharded, startHubServer } from "../support/hub-server.ts"

const { remove, vequinox, work } = commandLine()
const models = path.join(import.meta.dirname, "../../models")
const token = "hf_secret-of-the-test"
const files = await sharded(path.join(models, "policy"))
const repos = {
  "tiny/policy": { files, private: true, revisions: { main: commitA, "v1.0": commitA } },
  "tiny/mamba": { files: new Map(files).set("config.json", new TextEncoder().encode(JSON.stringify({ model_type: "\u001b[2Jmamba" }))) }
}
let server: HubServer
beforeAll(async () => {
  server = await startHubServer({ repos, token })
})
afterAll(async () => {
  await server.close()
  remove()
})

const home = (name: string) => path.join(work, name)
const env = (name: string) => ({ HF_ENDPOINT: server.url, HF_HOME: home(name), HF_TOKEN: token })
const draw = ["sample", "a red circle", "--seed", "3", "--json"]

/** What is in the files below the folder. */
const contents = (folder: string) =>
  fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => fs.readFileSync(path.join(parentPath, name), "latin1"))

describe("--model takes a model of the Hub", () => {
  it("continues after Ctrl-C where it stopped; shards behind the cache's links draw as the folder does; only JSON with --json", async () => {
    const slow = await startHubServer({ repos, token, speed: 4e5 })
    const place = env("draw")
    const blobs = path.join(home("draw"), "hub/models--tiny--policy/blobs")
    const parts = () =>
      fs.existsSync(blobs)
        ? fs.readdirSync(blobs).filter((name) => name.endsWith(".incomplete")).map((name) => fs.statSync(path.join(blobs, name)).size)
        : []
    try {
      const child = spawn(process.execPath, [path.resolve(models, "../src/main.ts"), ...draw.slice(0, -1), "--model", "tiny/policy"], {
        cwd: work,
        env: { PATH: process.env["PATH"], ...place, HF_ENDPOINT: slow.url },
        stdio: ["ignore", "ignore", "pipe"]
      })
      let said = ""
      child.stderr.on("data", (text) => (said += text))
      while (parts().length < 2 || Math.min(...parts()) < 200_000) {
        assert.isNull(child.exitCode, said)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      child.kill("SIGINT")
      await once(child, "exit")
      assert.strictEqual(child.exitCode, 130)
      assert.match(said, /^Fetching tiny\/policy \(5\.3 MB\) from 127\.0\.0\.1:\d+ into .*snapshots/m)
      assert.match(said, /^[\d.]+ (bytes|kB|MB) of 5\.3 MB {2}\S+ {2}[\d.]+ (bytes|kB|MB)\/s/m)
      assert.match(said, /^Stopped at [\d.]+ [kM]B of 5\.3 MB: the same command continues from there\.$/m)
    } finally {
      await slow.close()
    }
    const weights = [...files].filter(([name]) => /^model-.*\.safetensors$/.test(name)).map(([name, bytes]) => ({ blob: blobOf(name, bytes), size: bytes.length }))
    const whole = () => weights.filter(({ blob }) => fs.existsSync(path.join(blobs, blob))).length
    assert.strictEqual(whole(), 0)
    const kept = parts().reduce((sum, size) => sum + size, 0)
    const before = server.sent()
    const fetched = await vequinox(place, ...draw, "--model", "tiny/policy")
    assert.strictEqual(fetched.stdout, (await vequinox({}, ...draw)).stdout, fetched.stderr)
    assert.strictEqual(fetched.stderr, "")
    assert.strictEqual(whole(), 2)
    assert.strictEqual(server.sent() - before, weights.reduce((sum, { size }) => sum + size, 0) - kept)
  }, 120_000)

  it("trains; the adapter names the base and its commit; the token is in no file, no output and no child", async () => {
    const spy = path.join(work, "spy.mjs")
    fs.writeFileSync(spy, `import cp from "node:child_process"
import { appendFileSync } from "node:fs"
import { syncBuiltinESMExports } from "node:module"
const { spawn } = cp
cp.spawn = (...args) => {
  appendFileSync(${JSON.stringify(path.join(work, "children.txt"))}, JSON.stringify(args.at(-1).env ?? process.env) + "\\n")
  return spawn(...args)
}
syncBuiltinESMExports()
`)
    const out = path.join(work, "run")
    const { code, stderr, stdout } = await vequinox(
      { ...env("draw"), NODE_OPTIONS: `--import=${spy}` },
      ..."train --model tiny/policy --revision v1.0 --steps 1 --prompts-per-step 2 --k 2 --trust-pairs 0 --out".split(" "),
      out,
      ...bareRun
    )
    assert.strictEqual(code, 0, stderr)
    const adapter = JSON.parse(fs.readFileSync(path.join(out, "adapter/adapter_config.json"), "utf8"))
    assert.deepStrictEqual([adapter.base_model_name_or_path, adapter.revision], ["tiny/policy", commitA])
    assert.include(fs.readFileSync(path.join(out, "adapter/README.md"), "utf8"), `from_pretrained("tiny/policy", revision="${commitA}")`)
    const config = JSON.parse(fs.readFileSync(path.join(out, "config.json"), "utf8"))
    assert.deepStrictEqual([config.model_name_or_path, config.model_revision, config.model_commit], ["tiny/policy", "v1.0", commitA])
    const children = fs.readFileSync(path.join(work, "children.txt"), "utf8")
    assert.notStrictEqual(children, "")
    for (const text of [stdout, stderr, children, ...contents(out), ...contents(home("draw"))]) assert.notInclude(text, token)
  }, 120_000)

  it("says in one sentence what is wrong", async () => {
    const { code, stderr, stdout } = await vequinox(env("wrong"), "sample", "a dot", "--model", "tiny/mamba")
    assert.deepStrictEqual([code, stdout], [1, ""])
    // The family's name is the repository's: it must not reach the terminal as it is.
    assert.match(stderr, /^vequinox: \S*models--tiny--mamba\S*config\.json is of the family "\?\[2Jmamba": known are [\w, ]+\.\n$/)
    assert.deepStrictEqual(fs.readdirSync(path.join(home("wrong"), "hub/models--tiny--mamba/snapshots", commitA)), ["config.json"])
  })
})
