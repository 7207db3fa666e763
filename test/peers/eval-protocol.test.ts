/** Eval Protocol's own Python client against `vequinox serve`, a real process: see README.md. Skipped where it is not installed. */
import { execFile, execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { ClaudeServer } from "../support/claude-server.ts"
import { blocksOf, documents } from "../support/documents.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { serving } from "../support/serving.ts"
import { startWordyClaude } from "../support/wordy-claude.ts"
import { type Recorded, recording } from "./recording-proxy.ts"

const given = process.env["EVAL_PROTOCOL_PYTHON"] ?? "python3"
const python = given.includes("/") ? path.resolve(given) : given
const version = "0.3.33"
const installed = (() => {
  try {
    return execFileSync(python, ["-c", "import importlib.metadata as m; print(m.version('eval-protocol'))"], { encoding: "utf8", stdio: "pipe" }).trim()
  } catch {
    return undefined
  }
})()

const work = scratchFolder("peers")
const file = path.join(import.meta.dirname, "eval-protocol.recorded.json")

/** Whatever asks for another host than this one gets no answer. */
const noNetwork = { HTTP_PROXY: "http://127.0.0.1:9", HTTPS_PROXY: "http://127.0.0.1:9", NO_PROXY: "localhost,127.0.0.1", LITELLM_LOCAL_MODEL_COST_MAP: "True" }

const pytest = (script: string, url: string, env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly said: string }>((resolve) =>
    execFile(python, ["-m", "pytest", "-q", "-p", "no:cacheprovider", path.resolve(import.meta.dirname, script), ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"], HOME: work, EP_NO_UPLOAD: "1", EP_DISABLE_AUTO_BROWSER: "1", PYTHONDONTWRITEBYTECODE: "1", VEQUINOX_URL: url, ...noNetwork, ...env },
      maxBuffer: 1e8
    }, (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), said: stdout + stderr })))

/** One of each: a client polls. With the port that the documents name. */
const tidied = (recorded: ReadonlyArray<Recorded>, url: string): ReadonlyArray<Recorded> =>
  [...new Set(recorded.map((one) => JSON.stringify(one).replaceAll(url, "http://localhost:8000")))].map((line) => JSON.parse(line) as Recorded)

/** What an endpoint is asked with, whatever the values. */
const shapeOf = ({ body, headers, method, path }: Recorded): string => {
  const { pathname, searchParams } = new URL(path, "http://localhost")
  const keys = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(keys)
    : typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, keys(inner)]))
    : typeof value
  return JSON.stringify([method, pathname, [...searchParams.keys()], Object.keys(headers), keys(body)])
}
const shapesOf = (recorded: ReadonlyArray<Recorded>) => [...new Set(recorded.map(shapeOf))].toSorted()

/** Python asks by this name; `127.0.0.1` is another one to it. */
const byName = (url: string): string => url.replace("127.0.0.1", "localhost")

describe.skipIf(installed === undefined)(`eval-protocol ${installed ?? version}, the Python package`, () => {
  const client = "eval_protocol_client.py"
  const key = "a-secret-key-of-the-server"
  let open: Awaited<ReturnType<typeof serving>>
  let closed: typeof open
  let claude: ClaudeServer
  beforeAll(async () => {
    claude = await startWordyClaude()
    const guide = { ANTHROPIC_API_KEY: "sk-ant-of-the-test", ANTHROPIC_BASE_URL: claude.url };
    [open, closed] = await Promise.all([
      serving(work, ["--requirements"], guide),
      serving(work, ["--requirements"], { VEQUINOX_API_KEY: key, ...guide })
    ])
  })
  afterAll(async () => {
    await Promise.all([open.stop(), closed.stop()])
    await claude.close()
  })

  it("is the version that was recorded", () => assert.strictEqual(installed, version))

  it("rolls out, and asks as it was recorded", async () => {
    const proxy = await recording(open.url)
    const url = byName(proxy.url)
    const { code, said } = await pytest(client, url, {})
    await proxy.close()
    assert.strictEqual(code, 0, said)
    const now = tidied(proxy.recorded, url)
    if (process.env["RECORD"] !== undefined) fs.writeFileSync(file, `[\n${now.map((one) => JSON.stringify(one)).join(",\n")}\n]\n`)
    assert.deepStrictEqual(shapesOf(now), shapesOf(JSON.parse(fs.readFileSync(file, "utf8"))))
  })

  it("rolls out on a server with a key, which it knows as its own, and which nobody is shown", async () => {
    const { code, said } = await pytest(client, byName(closed.url), { FIREWORKS_API_KEY: key })
    assert.strictEqual(code, 0, said)
    assert.notInclude(closed.said(), key)
    assert.notInclude(said, key)
  })

  it("is refused there without the key", async () => {
    const { code, said } = await pytest(client, byName(closed.url), {}, "-k", "test_rollouts")
    assert.strictEqual(code, 1)
    assert.include(said, "The key is missing or wrong")
  })

  it("counts SVGBench's requirements, as an evaluation of its own and as a remote reward function", async () => {
    const { code, said } = await pytest("eval_protocol_svgbench.py", byName(closed.url), { FIREWORKS_API_KEY: key })
    assert.strictEqual(code, 0, said)
    assert.strictEqual(claude.requests(), 2)
  })

  it("runs what docs/eval-protocol.md says", async () => {
    const programs = documents().filter(({ file }) => file === "docs/eval-protocol.md").flatMap(blocksOf).filter(({ language }) => language === "py")
    const script = path.join(work, "documented.py")
    fs.writeFileSync(script, programs.map(({ code }) => code).join("\n").replaceAll("http://localhost:8000", byName(open.url)))
    const { code, said } = await pytest(script, byName(open.url), {})
    assert.strictEqual(code, 0, said)
    assert.match(said, /\b2 passed/)
  })
})
