/** `vequinox make-rows` as people meet it: a real process, the embedded policy, judge and critic. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { scratchFolder } from "../support/scratch-folder.ts"

const root = path.resolve(import.meta.dirname, "../..")
const work = scratchFolder("make-rows")

const vequinox = (...args: ReadonlyArray<string>) =>
  new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    const child = spawn(process.execPath, [path.join(root, "src/main.ts"), ...args], {
      cwd: work,
      env: { PATH: process.env["PATH"], XDG_CACHE_HOME: path.join(work, "cache") }
    })
    let [stdout, stderr] = ["", ""]
    child.stdout.on("data", (text) => (stdout += text))
    child.stderr.on("data", (text) => (stderr += text))
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })

const file = (name: string, text: string): string => {
  fs.writeFileSync(path.join(work, name), text)
  return path.join(work, name)
}
const read = (...at: ReadonlyArray<string>) => fs.readFileSync(path.join(work, ...at), "utf8")
const rowsIn = (...at: ReadonlyArray<string>) => read(...at).trim().split("\n").map((line) => JSON.parse(line))

describe.concurrent("make-rows", () => {
  it("makes rows that can be traced to their drawings; called again it draws nothing, and other settings are refused", async () => {
    const prompts = file("prompts.csv", "id,desc\none,a red pelican\ntwo,three green stars\nthree,a blue cat riding a red bicycle\nfour,two yellow hearts\n")
    const ask = ["make-rows", "--prompts", prompts, "--k", "3", "--drafts", "2", "--threads", "1", "--out", "rows"]
    const first = await vequinox(...ask)
    assert.strictEqual(first.code, 0, first.stderr)
    const made = rowsIn("rows", "rows.jsonl")
    assert.isAbove(made.length, 0)
    assert.deepStrictEqual([...new Set(made.map(({ kind }) => kind))], ["direct", "correction", "critique"].filter((kind) => made.some((row) => row.kind === kind)))
    for (const { from, kind, prompt } of made) {
      const drawn = read("rows", from).trim()
      if (kind === "correction") assert.include(prompt, drawn)
    }
    const told = JSON.parse(read("rows", "rows.json"))
    assert.strictEqual(told.prompts, 4)
    assert.strictEqual(told.rows.direct, told.prompts - told.withoutBest)
    for (const { images } of JSON.parse(read("rows", "introsvg", "critique.json"))) {
      assert.isTrue(fs.existsSync(path.join(work, "rows", "introsvg", images[0])))
    }

    const before = read("rows", "records.jsonl")
    const again = await vequinox(...ask, "--json")
    assert.strictEqual(again.code, 0, again.stderr)
    assert.strictEqual(read("rows", "records.jsonl"), before)
    assert.deepStrictEqual(JSON.parse(again.stdout), told)

    const other = await vequinox(...ask.map((word) => (word === "3" ? "4" : word)))
    assert.strictEqual(other.code, 1)
    assert.match(other.stderr, /^vequinox: rows has a set of rows with other prompts, models or settings: choose another --out, or ask as before to go on\.$/m)
  })

  it("refuses one drawing a prompt, which nothing can be compared with, and a file without prompts", async () => {
    const one = await vequinox("make-rows", "--k", "1", "--out", "one")
    assert.strictEqual(one.code, 1)
    assert.match(one.stderr, /a whole number from 2 to 64/)
    const none = await vequinox("make-rows", "--prompts", file("none.csv", "id,name\n1,a cat\n"), "--out", "none")
    assert.strictEqual(none.code, 1)
    assert.match(none.stderr, /none\.csv needs a column named "prompt" or "desc"\./)
    assert.isFalse(fs.existsSync(path.join(work, "none")))
  })
})
