/** `vequinox sft` as people meet it: rows that are too long, and signals. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, it } from "vitest"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const at = (name: string) => path.join(work, name)
const rows = (name: string, ...prompts: ReadonlyArray<string>): string => {
  fs.writeFileSync(at(name), prompts.map((prompt) => JSON.stringify({ prompt, completion: "<path/></svg>" }) + "\n").join(""))
  return at(name)
}
const long = "a cat ".repeat(300)
const small = ["--batch-size", "2", "--threads", "1"]

it("refuses where every row is too long", async () => {
  const { code, stderr } = await vequinox({}, "sft", "--data", rows("long.jsonl", long, `${long} and a dog`), "--out", at("none"), ...small)
  assert.strictEqual(code, 1, stderr)
  assert.match(stderr, /^vequinox: .*long\.jsonl: all 2 rows are longer than --max-length 256, so none is left to train on; the shortest has \d+ tokens\.\n$/)
  assert.isFalse(fs.existsSync(at("none")))
}, 60_000)

it("says how many rows were too long, and trains on the others", async () => {
  const { code, stderr } = await vequinox({}, "sft", "--data", rows("some.jsonl", long, "a cat", long), "--out", at("some"), "--steps", "2", ...small)
  assert.strictEqual(code, 0, stderr)
  assert.include(stderr, "2 of 3 rows are longer than --max-length 256 and are left out.")
  assert.strictEqual(JSON.parse(fs.readFileSync(at("some/training.json"), "utf8")).rows, 1)
  assert.includeMembers(fs.readdirSync(at("some")), ["config.json", "model.safetensors", "tokenizer.json"])
}, 60_000)

it("ends at SIGTERM, and leaves nothing", async () => {
  const child = spawn(
    process.execPath,
    [path.resolve(import.meta.dirname, "../../src/main.ts"), "sft", "--data", rows("ended.jsonl", "a cat"), "--out", at("ended"), "--steps", "1000000", "--json", ...small],
    { cwd: work, env: { PATH: process.env["PATH"] } }
  )
  let said = ""
  child.stderr.on("data", (part) => (said += part))
  await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()))
  child.kill("SIGTERM")
  const code = await new Promise((resolve) => child.on("close", resolve))
  assert.strictEqual(code, 143, said)
  assert.deepStrictEqual(fs.readdirSync(work).filter((name) => name.startsWith("ended")), ["ended.jsonl"])
}, 60_000)
