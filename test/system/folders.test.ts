/** Folders that cannot be made: every command that makes one ends, and says so in a sentence. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "vitest"
import { makeFolders, removeFolders } from "../../src/system/folders.ts"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
const at = (name: string) => path.join(work, name)

describe("makeFolders", () => {
  it("makes what is missing, tells it, and takes it away again", () => {
    fs.mkdirSync(at("a"))
    const made = makeFolders(at("a/b/c"))
    assert.deepStrictEqual(made, [at("a/b"), at("a/b/c")])
    assert.deepStrictEqual(makeFolders(at("a/b/c/")), [])
    fs.writeFileSync(at("a/b/kept"), "")
    removeFolders(made)
    assert.deepStrictEqual(fs.readdirSync(at("a/b")), ["kept"])
  })

  it("follows links, and refuses a file, what is below one, and a link to nothing", () => {
    fs.mkdirSync(at("real"))
    fs.symlinkSync(at("real"), at("link"))
    makeFolders(at("link/deep"))
    assert.isTrue(fs.existsSync(at("real/deep")))
    fs.writeFileSync(at("file"), "")
    fs.symlinkSync(at("nowhere"), at("dangling"))
    for (const name of ["file", "file/x/y", "dangling", "dangling/x"]) assert.throws(() => makeFolders(at(name)), /ENOTDIR|EEXIST|no folder can be made/, name)
  })

  // In a process of its own: what spins there would hear no test's deadline.
  it.skipIf(!fs.existsSync("/proc/self"))("ends where the file system has no place for a folder", () => {
    const module = path.resolve(import.meta.dirname, "../../src/system/folders.ts")
    const script = `const { makeFolders } = await import(${JSON.stringify(module)})
      try { makeFolders("/proc/vequinox/deep") } catch (error) { console.log(error.message) }`
    const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8", timeout: 20_000, killSignal: "SIGKILL" })
    assert.strictEqual(said, "no folder can be made in /proc\n")
  })
})

describe("writeFolder", () => {
  const module = path.resolve(import.meta.dirname, "../../src/system/files.ts")
  const script = (folder: string) => `
    import { Effect } from "effect"
    import { writeFile, writeFolder } from ${JSON.stringify(module)}
    await Effect.runPromise(writeFolder(${JSON.stringify(folder)}, (part) => writeFile(part + "/a", "1")))`

  it("fills an empty folder whose parent takes nothing, and an empty folder behind a link", () => {
    fs.mkdirSync(at("closed/given"), { recursive: true })
    const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined // root may write everywhere
    if (nobody !== undefined) {
      fs.chownSync(at("closed/given"), nobody.uid, nobody.gid)
      fs.chmodSync(work, 0o755)
    }
    fs.chmodSync(at("closed"), 0o555)
    execFileSync(process.execPath, ["--input-type=module", "-e", script(at("closed/given"))], { cwd: path.dirname(module), ...nobody })
    fs.chmodSync(at("closed"), 0o755)
    assert.deepStrictEqual([fs.readdirSync(at("closed")), fs.readdirSync(at("closed/given"))], [["given"], ["a"]])

    fs.mkdirSync(at("behind"))
    fs.symlinkSync(at("behind"), at("front"))
    execFileSync(process.execPath, ["--input-type=module", "-e", script(at("front"))], { cwd: path.dirname(module) })
    assert.isTrue(fs.lstatSync(at("front")).isSymbolicLink())
    assert.deepStrictEqual(fs.readdirSync(at("behind")), ["a"])
  }, 180_000)
})

it("no other function makes folders and those above them", () => {
  const root = path.resolve(import.meta.dirname, "../..")
  const sources = ["src", "layers"].flatMap((folder) =>
    fs.readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts")).map((name) => path.join(root, folder, name)))
  assert.deepStrictEqual(sources.filter((file) => /mkdir(Sync)?\([^)]*recursive/.test(fs.readFileSync(file, "utf8"))), [])
})

describe.skipIf(!fs.existsSync("/proc/self")).concurrent("a folder in /proc is refused at once", () => {
  const good = `{"prompt":"one red circle","a_svg":"<svg/>","b_svg":"<svg/>"}\n`
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, () => ReadonlyArray<string>]> = [
    ["train --out", {}, () => ["train", "--out", "/proc/vequinox/run"]],
    ["sft --out", {}, () => {
      fs.writeFileSync(at("rows.jsonl"), `{"prompt":"a","completion":"b"}\n`)
      return ["sft", "--data", at("rows.jsonl"), "--out", "/proc/vequinox/sft"]
    }],
    ["judge-pairs --out", {}, () => {
      fs.writeFileSync(at("pairs.jsonl"), good)
      return ["judge-pairs", "--judge", "coin", "--pairs", at("pairs.jsonl"), "--out", "/proc/vequinox/out.jsonl"]
    }],
    ["--judge-cache", { OPENAI_BASE_URL: "http://127.0.0.1:9/v1" }, () => {
      fs.writeFileSync(at("s.svg"), "<svg/>")
      return ["judge", "--judge", "openai", "--judge-model", "m", "--judge-cache", "/proc/vequinox/answers.db", "--prompt", "x", at("s.svg"), at("s.svg")]
    }]
  ]
  it.each(cases)("%s", async (_name, env, args) => {
    const { code, stderr } = await vequinox(env, ...args())
    assert.strictEqual(code, 1, stderr)
    assert.match(stderr, /^vequinox: .*no folder can be made in \/proc.*\n$/)
  }, 180_000)
})
