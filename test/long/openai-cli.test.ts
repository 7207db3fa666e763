/** `--judge openai` as people meet it: real processes against a server on a real socket. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { bareRun, briefRun, commandLine, type Ended, refusedInOneLine } from "../support/command-line.ts"
import { during } from "../support/loopback.ts"
import { type OpenAIServer, type OpenAIServerOptions, startOpenAIServer } from "../support/openai-server.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)

const secret = "sk-secret-of-the-test"
const withServer = (o: OpenAIServerOptions, use: (server: OpenAIServer, env: Record<string, string>) => Promise<void>) =>
  during(startOpenAIServer(o), (server) => use(server, { OPENAI_API_KEY: secret, OPENAI_BASE_URL: server.url }))
const model = ["--judge", "openai", "--judge-model", "qwen-vl"]
const draw = (name: string, colour: string) => {
  const file = path.join(work, name)
  fs.writeFileSync(file, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="14" fill="${colour}"/></svg>`)
  return file
}
const red = draw("red.svg", "red")
const blue = draw("blue.svg", "blue")
const ask = (...args: ReadonlyArray<string>) => ["judge", ...args, "--prompt", "one red circle", blue, red, "--json"]

it("trains through faults on a local server, for nothing, and the key is in no file, no output and no child", () =>
  withServer({ faults: 0.1, key: secret, kinds: ["500", "reset", "malformed", "refusal", "length", "wrong-answer"] }, async (_server, env) => {
    const out = path.join(work, "run")
    // Everything this process starts has the parent's environment for all to see: a child must not have the key.
    const spy = path.join(work, "spy.mjs")
    fs.writeFileSync(spy, `import cp from "node:child_process"
import { appendFileSync } from "node:fs"
import { syncBuiltinESMExports } from "node:module"
for (const name of ["spawn", "fork", "execFile"]) {
  const original = cp[name]
  cp[name] = (...args) => {
    const options = args.findLast((arg) => typeof arg === "object" && arg !== null && !Array.isArray(arg))
    appendFileSync(${JSON.stringify(path.join(work, "children.txt"))}, JSON.stringify(options?.env ?? process.env) + "\\n")
    return original(...args)
  }
}
syncBuiltinESMExports()
`)
    const tiny = ["--steps", "2", "--prompts-per-step", "3", "--k", "3", ...briefRun, "--judge-timeout", "5"]
    const files = ["--out", out, "--judge-cache", `${out}.db`]
    const { code, stderr, stdout } = await vequinox(
      { ...env, NODE_OPTIONS: `--import=${spy}` },
      "train",
      ...model,
      ...tiny,
      ...files
    )
    assert.strictEqual(code, 0, stderr)
    assert.notInclude(stdout + stderr, "may be asked") // nothing to forecast
    const metrics = fs.readFileSync(path.join(out, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
    assert.isAbove(metrics.reduce((n, { "judge/asked": asked }) => n + asked, 0), 4)
    assert.strictEqual(metrics.reduce((n, { "judge/failed": failed }) => n + failed, 0), 0)
    assert.strictEqual(JSON.parse(fs.readFileSync(path.join(out, "summary.json"), "utf8")).costUsd, 0)
    assert.include(fs.readFileSync(path.join(out, "config.json"), "utf8"), "openai-2 model=qwen-vl at http://127.0.0.1:")
    assert.notInclude(stdout + stderr, secret)
    for (const entry of fs.readdirSync(work, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      assert.notInclude(fs.readFileSync(path.join(entry.parentPath, entry.name), "latin1"), secret, entry.name)
    }
    assert.isAbove(fs.readFileSync(path.join(work, "children.txt"), "utf8").length, 0)
  }), 180_000)

it("a run whose judge failed on the few questions that there were says so in its summary", () =>
  withServer({ always: { status: 400, body: "no picture can be read" } }, async (_server, env) => {
    const out = path.join(work, "few")
    const tiny = ["--steps", "3", "--prompts-per-step", "1", "--k", "3", ...bareRun, "--out", out, "--judge-cache", `${out}.db`]
    const { code, stderr } = await vequinox(env, "train", ...model, ...tiny)
    const metrics = fs.readFileSync(path.join(out, "metrics.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line))
    assert.isAbove(metrics.reduce((n, { "judge/failed": failed }) => n + failed, 0), 2)
    assert.strictEqual(code, 0, stderr)
    assert.match(stderr, /The judge has given no usable answer to the last \d+ questions/)
    const { alarms } = JSON.parse(fs.readFileSync(path.join(out, "summary.json"), "utf8"))
    assert.match(alarms[0].message, /The judge has given no usable answer/)
    assert.include(fs.readFileSync(path.join(out, "report.html"), "utf8"), "The judge has given no usable answer")
  }), 180_000)

it("cascade asks the guide model of one's choice where CLIP is not sure", () =>
  withServer({}, async (server, env) => {
    const near = path.join(work, "near.svg")
    fs.writeFileSync(near, fs.readFileSync(red, "utf8").replace(`cx="32"`, `cx="33"`))
    const cascade = ["--judge", "cascade", "--guide", "openai", "--judge-model", "qwen-vl"]
    const { code, stderr, stdout } = await vequinox(env, "judge", ...cascade, "--prompt", "one red circle", near, red, "--json")
    assert.strictEqual(code, 0, stderr)
    assert.deepInclude(JSON.parse(stdout), { by: "openai", costUsd: 0 })
    assert.strictEqual(server.requests(), 2)
  }))

describe.concurrent("says in one sentence what is wrong", () => {
  const refused = (result: Promise<Ended>, expected: RegExp) => refusedInOneLine(result, expected, secret)
  it("a wrong key, which the server repeats", () =>
    withServer({ key: "another" }, (_server, env) =>
      refused(vequinox(env, ...ask(...model)), /does not accept the key \(Incorrect API key provided: …\): check OPENAI_API_KEY/)))
  it("nobody at the address", () =>
    refused(
      vequinox({ OPENAI_BASE_URL: "http://127.0.0.1:9/v1" }, ...ask(...model)),
      /cannot be reached .*check the network and OPENAI_BASE_URL/
    ))
})
