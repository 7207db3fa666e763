/** Eval Protocol's own Python client against `vequinox serve`, a real process: see README.md. Skipped where it is not installed. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { scratchFolder } from "../support/scratch-folder.ts"
import { type Recorded, recording } from "./recording-proxy.ts"

const python = process.env["EVAL_PROTOCOL_PYTHON"] ?? "python3"
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

/** A server of its own process, and what it says. */
const serving = async (env: Readonly<Record<string, string>>) => {
  const child: ChildProcess = spawn(process.execPath, [path.resolve(import.meta.dirname, "../../src/main.ts"), "serve", "--port", "0", "--json"], {
    env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache"), ...env }
  })
  let said = ""
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (part) => (said += part))
  while (!said.includes("\n")) {
    assert.isNull(child.exitCode, said)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const { port } = new URL((JSON.parse(said.split("\n")[0]!) as { url: string }).url)
  return {
    url: `http://localhost:${port}`,
    said: () => said,
    stop: () => new Promise<void>((resolve) => (child.once("close", () => resolve()), child.kill("SIGINT")))
  }
}

/** Whatever asks for another host than this one gets no answer. */
const noNetwork = { HTTP_PROXY: "http://127.0.0.1:9", HTTPS_PROXY: "http://127.0.0.1:9", NO_PROXY: "localhost,127.0.0.1", LITELLM_LOCAL_MODEL_COST_MAP: "True" }

const pytest = (url: string, env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly said: string }>((resolve) =>
    execFile(python, ["-m", "pytest", "-q", "-p", "no:cacheprovider", path.join(import.meta.dirname, "eval_protocol_client.py"), ...args], {
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

describe.skipIf(installed === undefined)(`eval-protocol ${installed ?? version}, the Python package`, () => {
  let open: Awaited<ReturnType<typeof serving>>
  let closed: typeof open
  const key = "a-secret-key-of-the-server"
  beforeAll(async () => void ([open, closed] = await Promise.all([serving({}), serving({ VEQUINOX_API_KEY: key })])))
  afterAll(async () => void await Promise.all([open.stop(), closed.stop()]))

  it("is the version that was recorded", () => assert.strictEqual(installed, version))

  it("rolls out, and asks as it was recorded", async () => {
    const proxy = await recording(open.url)
    const url = proxy.url.replace("127.0.0.1", "localhost")
    const { code, said } = await pytest(url, {})
    await proxy.close()
    assert.strictEqual(code, 0, said)
    const now = tidied(proxy.recorded, url)
    if (process.env["RECORD"] !== undefined) fs.writeFileSync(file, `[\n${now.map((one) => JSON.stringify(one)).join(",\n")}\n]\n`)
    assert.deepStrictEqual(shapesOf(now), shapesOf(JSON.parse(fs.readFileSync(file, "utf8"))))
  })

  it("rolls out on a server with a key, which it knows as its own, and which nobody is shown", async () => {
    const { code, said } = await pytest(closed.url, { FIREWORKS_API_KEY: key })
    assert.strictEqual(code, 0, said)
    assert.notInclude(closed.said(), key)
    assert.notInclude(said, key)
  })

  it("is refused there without the key", async () => {
    const { code, said } = await pytest(closed.url, {}, "-k", "test_rollouts")
    assert.strictEqual(code, 1)
    assert.include(said, "The key is missing or wrong")
  })
})
