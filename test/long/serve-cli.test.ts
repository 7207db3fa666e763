/** `vequinox serve` as people meet it: a real process, asked over the network, and stopped. */
import { spawn } from "node:child_process"
import * as path from "node:path"
import { assert, it } from "vitest"
import { codes, initOf, rolloutClient } from "../support/rollouts.ts"
import { writeAdapter } from "../support/served.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const root = path.resolve(import.meta.dirname, "../..")
const work = scratchFolder("serve-cli")

/** Told once what the process says on stdout. */
const serve = (args: ReadonlyArray<string>, env: Record<string, string>, listening: (said: string, kill: (signal: NodeJS.Signals) => void) => Promise<void>) =>
  new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(root, "src/main.ts"), "serve", "--port", "0", "--threads", "1", ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache"), ...env }
    })
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (part) => {
      if (stdout === "") listening(String(part), (signal) => child.kill(signal)).catch((error: unknown) => (child.kill("SIGKILL"), reject(error)))
      stdout += part
    })
    child.stderr.on("data", (part) => (stderr += part))
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })

it("says where it listens and what it has, answers, and ends at Ctrl-C, with an answer under way", async () => {
  writeAdapter(path.join(work, "red"), 1)
  let url = ""
  const { signal, code, stderr, stdout } = await serve(["--json", "--adapter", "red", "--adapter", `scarlet=${path.join(work, "red")}`], {}, async (said, kill) => {
    const told = JSON.parse(said) as { url: string; models: Array<string> }
    url = told.url
    assert.deepStrictEqual(told.models, ["embedded", "red", "scarlet"])
    const ask = (model: string) =>
      fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model, messages: [{ role: "user", content: "a pelican" }], seed: 1 })
      })
    const texts = await Promise.all(["red", "embedded:scarlet", "embedded"].map(async (model) =>
      (await (await ask(model)).json() as { choices: Array<{ message: { content: string } }> }).choices[0]!.message.content))
    assert.strictEqual(texts[0], texts[1])
    assert.notStrictEqual(texts[0], texts[2])
    void ask("red").catch(() => {})
    // Rollouts that nobody waits for are no reason to stay.
    const rollouts = rolloutClient(() => url)
    await Promise.all(Array.from({ length: 200 }, (_, i) => rollouts.init(initOf(`${i}`))))
    assert.strictEqual((await rollouts.status("199")).code, codes.running)
    setTimeout(() => kill("SIGINT"), 20)
  })
  assert.isTrue(code === 130 || signal === "SIGINT", `${code} ${signal} ${stderr}`)
  assert.notInclude(stderr + stdout, "    at ")
  await fetch(`${url}/health`).then(() => assert.fail("it still answers"), () => {})
}, 180_000)

it("refuses in one sentence what it cannot serve", async () => {
  const refused = async (args: ReadonlyArray<string>, env: Record<string, string>, said: RegExp) => {
    const { code, stderr } = await serve(args, env, (out) => Promise.reject(new Error(out)))
    assert.strictEqual(code, 1)
    assert.match(stderr, said)
    assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
  }
  await refused(["--host", "0.0.0.0"], {}, /lets other machines ask: put a key into the variable VEQUINOX_API_KEY/)
  await refused(["--adapter", "nowhere"], {}, /--adapter nowhere: /)
  await refused(["--adapter", `embedded=${path.join(work, "red")}`], {}, /embedded is the base's name/)
  await refused(["--host", "203.0.113.7"], { VEQUINOX_API_KEY: "a-secret-key" }, /cannot listen on 203.0.113.7:0 .*: give another --port/)
}, 180_000)
