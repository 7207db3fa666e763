/** `vequinox sft` as people meet it: rows that are too long, and signals. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, it } from "vitest"
import { commandLine, killedAt } from "../support/command-line.ts"

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
}, 180_000)

it("says how many rows were too long, and trains on the others", async () => {
  const { code, stderr } = await vequinox({}, "sft", "--data", rows("some.jsonl", long, "a cat", long), "--out", at("some"), "--steps", "2", ...small)
  assert.strictEqual(code, 0, stderr)
  assert.include(stderr, "2 of 3 rows are longer than --max-length 256 and are left out.")
  assert.strictEqual(JSON.parse(fs.readFileSync(at("some/training.json"), "utf8")).rows, 1)
  assert.includeMembers(fs.readdirSync(at("some")), ["config.json", "model.safetensors", "tokenizer.json"])
}, 180_000)

it("teaches answers in the form that is given", async () => {
  const data = at("form.jsonl")
  fs.writeFileSync(data, JSON.stringify({ prompt: "a cat", completion: "<svg><path/></svg>" }) + "\n")
  let taught = 0
  const tokens = async (...form: ReadonlyArray<string>) => {
    const { code, stderr, stdout } = await vequinox({}, "sft", "--data", data, "--out", at(`form${taught++}`), "--steps", "1", "--json", ...form, ...small)
    assert.strictEqual(code, 0, stderr)
    return (JSON.parse(stdout.split("\n")[0]!) as { readonly num_tokens: number }).num_tokens
  }
  const short = await tokens("--prefill", "<svg>")
  // The default prefill is longer, and is not what the answer begins with.
  assert.isAbove(await tokens(), short)
  assert.isAbove(await tokens("--prefill", "<svg>", "--system-prompt", "Draw"), short)
  assert.isAbove(await tokens("--prefill", "<svg>", "--prompt-template", "Please: {prompt}"), short)
}, 180_000)

it("goes on where it was stopped, to the same weights, and keeps a state of other work", async () => {
  const data = rows("resumed.jsonl", "a cat", "a dog", "a bird", "an owl", "a fish")
  const args = (out: string, steps = "5") => ["sft", "--data", data, "--out", at(out), "--steps", steps, "--warmup-steps", "1", ...small]
  const whole = await vequinox({}, ...args("whole"))
  assert.strictEqual(whole.code, 0, whole.stderr)
  const state = at("resumed.partial.safetensors")
  await killedAt(work, state, [...args("resumed"), "--save-steps", "2"]) // after step 2 or 4
  assert.isTrue(fs.existsSync(state))
  assert.isFalse(fs.existsSync(at("resumed")))
  const other = await vequinox({}, ...args("resumed", "6"))
  assert.strictEqual(other.code, 1)
  assert.match(other.stderr, /resumed\.partial\.safetensors was left by sft with other settings or rows: move it away/)
  const resumed = await vequinox({}, ...args("resumed"))
  assert.strictEqual(resumed.code, 0, resumed.stderr)
  assert.match(resumed.stderr, /Goes on after step [24] of 5\./)
  assert.deepStrictEqual(fs.readFileSync(at("resumed/model.safetensors")), fs.readFileSync(at("whole/model.safetensors")))
  assert.isFalse(fs.existsSync(state))
}, 120_000)

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
}, 180_000)
