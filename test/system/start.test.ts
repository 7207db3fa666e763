/** What every start of the command waits for: only the modules that the command line asks for. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { scratchFolder } from "../support/scratch-folder.ts"

const root = path.resolve(import.meta.dirname, "../..")
const folder = scratchFolder("start")
const counter = path.join(folder, "counter.mjs")
fs.writeFileSync(
  counter,
  `import { registerHooks } from "node:module"
  const loaded = []
  registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
  process.on("exit", () => process.stderr.write(JSON.stringify({ loaded, kept: process.env.NODE_COMPILE_CACHE })))`
)

/** Modules that a command line loads, and where it keeps compiled code. */
const start = (...args: ReadonlyArray<string>): { readonly loaded: ReadonlyArray<string>; readonly kept: string } => {
  const report = path.join(folder, "report")
  const out = fs.openSync(report, "w")
  execFileSync(process.execPath, ["--import", counter, path.join(root, "src/main.ts"), ...args], {
    env: { PATH: process.env["PATH"], TMPDIR: os.tmpdir() },
    stdio: ["ignore", "ignore", out]
  })
  fs.closeSync(out)
  return JSON.parse(fs.readFileSync(report, "utf8"))
}

describe("a start", () => {
  it("loads one command and nothing of what is not used; threads and children find compiled code", () => {
    const { kept, loaded } = start("judge", "--help")
    const commands = loaded.filter((url) => url.includes("/src/commands/")).map((url) => path.basename(url))
    assert.deepStrictEqual(commands.sort(), ["judge.ts", "vequinox.ts"])
    for (const module of ["@anthropic-ai", "@huggingface/hub", "redis", "@opentelemetry", "onnxruntime", "onnx-buf", "yaml", "node:http"]) {
      assert.deepStrictEqual(loaded.filter((url) => url === module || url.includes(`/node_modules/${module}`)), [], module)
    }
    assert.strictEqual(kept, path.join(os.tmpdir(), "node-compile-cache"))
  })

  it("loads every command for the help", () => {
    const { loaded } = start("--help")
    for (const file of fs.readdirSync(path.join(root, "src/commands"))) {
      assert.isTrue(loaded.some((url) => url.endsWith(`/src/commands/${file}`)), file)
    }
  })
})
