/** No command touches what it did not make: what is there stays, byte for byte, and a sentence says so. */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { afterAll, assert, describe, it } from "vitest"
import { Effect } from "effect"
import { fileNames, distinct, needFreeFolder, writeNewFile } from "../../src/system/outputs.ts"
import { openResults, type PairRow } from "../../src/evaluation/pair-rows.ts"
import { promptOf } from "../../src/prompts.ts"
import { needUnused } from "../../src/run/folder.ts"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const at = (name: string) => path.join(work, name)
const root = path.resolve(import.meta.dirname, "../..")

const file = (name: string, content: string | Uint8Array): string => {
  fs.mkdirSync(path.dirname(at(name)), { recursive: true })
  fs.writeFileSync(at(name), content)
  return at(name)
}
/** Every file below the folder and what is in it. */
const contents = (folder: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name)).sort().map((name) => [name, fs.readFileSync(name, "base64")])
  )
const refused = async (folder: string, args: ReadonlyArray<string>, expected: RegExp) => {
  const before = contents(folder)
  const { code, stderr, stdout } = await vequinox({}, ...args)
  assert.deepStrictEqual(contents(folder), before)
  assert.notStrictEqual(code, 0, stdout)
  assert.match(stderr, expected)
  assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
}
const messageOf = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>): Promise<string> =>
  Effect.runPromise(Effect.match(effect, { onFailure: ({ message }) => message, onSuccess: () => "" }))

describe("a run's folder", () => {
  it("is missing, empty, or holds only what a process that was killed at its start left", async () => {
    fs.mkdirSync(at("empty"))
    file("killed/run.lock", "")
    for (const name of ["missing", "empty", "killed"]) assert.strictEqual(await messageOf(needUnused(at(name))), "", name)
    file("begun/config.json", `{"max_steps": 3}`)
    assert.match(await messageOf(needUnused(at("begun"))), /holds a run already: .*--resume/)
    file("damaged/config.json", "{")
    file("damaged/metrics.jsonl", "")
    file("damaged/run.db", "")
    assert.match(await messageOf(needUnused(at("damaged"))), /holds a run already/)
    file("model/config.json", `{"model_type": "qwen3"}`)
    for (const name of ["summary.json", "report.html", "adapter/notes.txt", "checkpoints/step-1/a", "thesis.tex"]) file(`own-${name}/${name}`, "mine")
    for (const name of fs.readdirSync(work).filter((name) => name.startsWith("own-") || name === "model")) {
      assert.match(await messageOf(needUnused(at(name))), /holds files that vequinox did not make/, name)
    }
  })

  it("with files of somebody else is left alone", async () => {
    for (const name of ["summary.json", "report.html", "adapter/README.md", "checkpoints/step-9/mine"]) file(`theirs/${name}`, "mine")
    await refused(
      at("theirs"),
      ["train", ..."--steps 1 --prompts-per-step 2 --k 2 --eval-prompts 0 --out".split(" "), at("theirs")],
      /theirs holds files that vequinox did not make, so it changes nothing there: choose a new or empty folder with --out/
    )
  }, 120_000)
})

describe("a folder that is filled", () => {
  it("is free where it is missing or empty, and is not made by asking", async () => {
    fs.mkdirSync(at("free"))
    for (const name of ["free", "free/a/b"]) assert.strictEqual(await messageOf(needFreeFolder(at(name), "--out")), "")
    assert.deepStrictEqual(fs.readdirSync(at("free")), [])
    file("full/a", "")
    for (const name of ["full", "full/a", "full/a/b"]) assert.notStrictEqual(await messageOf(needFreeFolder(at(name), "--out")), "", name)
  })

  it("is not a folder that is read, by any path", async () => {
    file("base/config.json", "{}")
    fs.symlinkSync(at("base"), at("other-name"))
    for (const name of ["base", "base/", "base/.", "free/../base", "other-name", "other-name/"]) {
      const message = await messageOf(needFreeFolder(`${work}/${name}`, "--out", { "--model": at("base") }))
      assert.match(message, /^--out .* is the folder of --model itself, which would be replaced/, name)
    }
  })

  it("sft does not replace its own base", async () => {
    const base = at("policy")
    fs.cpSync(path.join(root, "models/policy"), base, { recursive: true })
    fs.symlinkSync(base, at("policy-link"))
    const data = file("rows.jsonl", `{"prompt":"a cat","completion":"<path/></svg>"}\n`)
    const args = ["sft", "--data", data, "--model", base, "--steps", "1", "--batch-size", "1", "--threads", "1", "--out"]
    await refused(base, [...args, `${at("policy-link")}/../policy/`], /is the folder of --model itself/)
    await refused(base, [...args, at("policy-link")], /is the folder of --model itself/)
  }, 120_000)
})

describe("file names", () => {
  const named = (...texts: ReadonlyArray<string>) => fileNames(texts.map(promptOf))
  const hash = (text: string) => promptOf(text).id.slice(0, 8)
  it("keep letters of every script", () =>
    assert.deepStrictEqual(named("кошка", "Собака!", "猫", "a cat, on a mat"), ["кошка", "собака", "猫", "a-cat-on-a-mat"]))
  it("of texts that read the same are told apart, whatever their order", () => {
    assert.deepStrictEqual(named("a cat", "A cat!", "a dog"), [`a-cat-${hash("a cat")}`, `a-cat-${hash("A cat!")}`, "a-dog"])
    const long = "a very ".repeat(20)
    assert.strictEqual(new Set(named(`${long} big cat`, `${long} small cat`)).size, 2)
    assert.strictEqual(new Set(named("é", "e\u0301").map((name) => name.normalize("NFC"))).size, 2)
    assert.strictEqual(new Set(named("a cat", "a cat", "a cat 2", "a cat-2")).size, 4)
  })
  it("are there for texts without letters", () => assert.strictEqual(new Set(named("🐈", "🐕", "!?")).size, 3))
  it("fit a file system", () => {
    for (const name of named("猫".repeat(500), "a".repeat(500), "𠀀".repeat(500))) {
      assert.isAtMost(Buffer.byteLength(name), 200)
      assert.isFalse(name.includes("\uFFFD") || /[\uD800-\uDBFF]$/.test(name))
    }
  })
  it("that are numbered hit no other", () =>
    assert.deepStrictEqual(distinct(["a", "a.2", "A", "a"], "."), ["a", "a.2", "A.3", "a.4"]))
})

describe("files that are made", () => {
  it("are new: one that is there stays, and nothing else is left", async () => {
    const there = file("made/there.txt", "mine")
    assert.match(await messageOf(writeNewFile(there, "other", "--out")), /there\.txt exists already and is not overwritten: choose another with --out/)
    assert.strictEqual(await messageOf(writeNewFile(at("made/deep/new.txt"), "new", "--out")), "")
    assert.deepStrictEqual([fs.readFileSync(there, "utf8"), fs.readdirSync(at("made"))], ["mine", ["deep", "there.txt"]])
    assert.deepStrictEqual(fs.readdirSync(at("made/deep")), ["new.txt"])
  })

  it("sample gives each prompt its own, and overwrites none", async () => {
    const args = ["sample", "кошка", "собака", "猫", "a cat", "A cat!", "--max-new-tokens", "4", "--out", at("drawn")]
    const { code, stderr } = await vequinox({}, ...args)
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(fs.readdirSync(at("drawn")).length, 5)
    await refused(at("drawn"), ["sample", "a dog", "猫", "--max-new-tokens", "4", "--out", at("drawn")], /猫-0\.svg exists already and is not overwritten/)
  }, 120_000)

  it("render and inspect --export overwrite none", async () => {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="20" fill="red"/></svg>`
    file("pictures/a.svg", svg)
    file("pictures/a.png", "mine")
    await refused(at("pictures"), ["render", at("pictures"), "--out", at("pictures")], /a\.png exists already and is not overwritten/)
    file("pictures/A.SVG", svg)
    const drawn = await vequinox({}, "render", at("pictures"), "--out", at("pngs"))
    assert.strictEqual(drawn.code, 0, drawn.stderr)
    assert.deepStrictEqual(fs.readdirSync(at("pngs")).sort(), ["A.png", "a.2.png"])
    file("stopped/config.json", `{"max_steps": 5}`)
    file("stopped/metrics.jsonl", `{"step":0}\n`)
    await refused(at("stopped"), ["inspect", at("stopped"), "--export", at("stopped/metrics.jsonl")], /metrics\.jsonl exists already .* --export/)
  }, 120_000)

  it("answers go into no database of something else", async () => {
    const other = new DatabaseSync(at("other.db"))
    other.exec("CREATE TABLE photos (name TEXT)")
    other.close()
    file("dots/a.svg", "<svg/>")
    fs.renameSync(at("other.db"), at("dots/other.db"))
    const args = ["judge", "--judge", "human", "--judge-cache", at("dots/other.db"), "--prompt", "x", at("dots/a.svg"), at("dots/a.svg")]
    await refused(at("dots"), args, /other\.db cannot be used \(it is a database of something else, with a table photos\)/)
  }, 120_000)
})

describe("the results of judge-pairs", () => {
  const pairs: ReadonlyArray<PairRow> = [{ prompt: "кот", a: "a", b: "b", svgs: ["", ""] }, { prompt: "two", a: 0, b: 1, step: 3, svgs: ["", ""] }]
  const row = (n: number) => {
    const { a, b, prompt, step } = pairs[n]!
    return JSON.stringify({ prompt, a, b, ...(step === undefined ? {} : { step }), verdict: "A", confidence: 1, scores: null, by: "coin", reason: null, costUsd: 0, judge: "coin" }) + "\n"
  }
  const open = (name: string) => Effect.scoped(Effect.map(openResults(at(name), pairs, "coin"), ({ done }) => done.length))

  it.each([
    ["notes without a line end", "mine"],
    ["notes", "mine\nand more"],
    ["JSON of something else", `{"name":"mine"}`],
    ["a longer list", row(0) + row(1) + "mine"],
    ["a row and notes", row(0) + "mine"],
    ["a row of another pair, cut off", row(1).slice(0, -9)],
    ["bytes", Buffer.from([0xff, 0x00, 0x0a, 0x41])]
  ])("stay as they are where they are %s", async (name, content) => {
    const own = file(`results/${name}`, content)
    assert.match(await messageOf(open(`results/${name}`)), /choose another --out/)
    assert.deepStrictEqual(fs.readFileSync(own), Buffer.from(content))
  })

  it("are gone on with after a row that was cut off, anywhere in it", async () => {
    const whole = Buffer.from(row(0) + row(1))
    for (let end = 0; end <= whole.length; end++) {
      file("results/cut", whole.subarray(0, end))
      assert.strictEqual(await Effect.runPromise(open("results/cut")), whole.subarray(0, end).filter((byte) => byte === 10).length)
      assert.deepStrictEqual(fs.readFileSync(at("results/cut")), whole.subarray(0, whole.subarray(0, end).lastIndexOf("\n") + 1))
    }
  })

  it("without a row leave no file", async () => {
    assert.strictEqual(await Effect.runPromise(open("results/none")), 0)
    assert.isFalse(fs.existsSync(at("results/none")))
  })
})
