/**
 * What README.md and docs/ say is so: their programs compile and run as a user's, their command lines are ones, their links
 * lead somewhere, and the names of a run's metrics, files and tables are those of a run.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { CliOutput, Command } from "effect/cli"
import { withHyphens } from "../src/system/flag-names.ts"
import { givenSettings } from "../src/wiring/setting-flags.ts"
import { resolveConfig, settings } from "../src/wiring/settings.ts"
import { tableIn, tableOf, tables } from "./support/docs-tables.ts"
import { anchorsOf, argumentsOf, blocksOf, documents, linksOf, root, scriptOf, spansOf } from "./support/documents.ts"
import { scratchFolder } from "./support/scratch-folder.ts"

const all = documents()
const blocks = all.flatMap(blocksOf)

describe("programs", () => {
  const work = scratchFolder("docs")
  const modules = path.join(root, "node_modules")
  const programs = blocks.filter(({ language }) => language === "ts").map((block, n) => ({ ...block, name: `program-${n}.ts` }))
  const node = (...args: ReadonlyArray<string>) =>
    new Promise<{ readonly error: Error | null; readonly said: string }>((resolve) =>
      execFile(process.execPath, args, { cwd: work, timeout: 120_000 }, (error, stdout, stderr) => resolve({ error, said: stdout + stderr })))
  let types: string

  beforeAll(async () => {
    const write = (name: string, text: string) => fs.writeFileSync(path.join(work, name), text)
    fs.mkdirSync(path.join(work, "node_modules"))
    for (const name of ["effect", "@types", "openai"]) fs.symlinkSync(path.join(modules, name), path.join(work, "node_modules", name))
    fs.symlinkSync(root, path.join(work, "node_modules/vequinox"))
    write("package.json", JSON.stringify({ type: "module" }))
    write("tsconfig.json", JSON.stringify({
      extends: path.join(root, "tsconfig.json"),
      compilerOptions: { noUnusedLocals: false },
      include: ["*.ts"]
    }))
    for (const { code, name } of programs) write(name, `export {}\n${code}`)
    types = (await node(path.join(modules, "typescript/bin/tsc"), "-p", ".")).said
  }, 120_000)

  it("are there", () => assert.isAtLeast(programs.length, 5))

  for (const { name, where, words } of programs) {
    it(`${where} compiles`, () => assert.deepStrictEqual(types.split("\n").filter((line) => line.startsWith(name)), []))
    if (words.includes("no-run")) continue
    it(`${where} runs`, async () => {
      const { error, said } = await node(name)
      assert.isNull(error, said)
    }, 120_000)
  }

  it("no error of another file", () => assert.strictEqual(types.trim(), ""))

  describe("docs/run-folder.md, by what the programs above left behind", () => {
    const told = all.find(({ file }) => file === "docs/run-folder.md")!
    const names = new Set(spansOf(told).flatMap((span) => [span, span.replace(/\/$/, "")]))
    const isTold = (name: string): boolean => names.has(name) || names.has(name.replace(/\/[^/]+$/, "/*"))
    const runs = () => fs.readdirSync(path.join(work, "runs")).map((name) => path.join(work, "runs", name))
    const untold = (of: (run: string) => ReadonlyArray<string>) => {
      const found = runs().flatMap(of)
      assert.isAbove(found.length, 0)
      return [...new Set(found)].filter((name) => !isTold(name))
    }

    it("names every file", () => assert.deepStrictEqual(untold((run) => fs.readdirSync(run)), []))
    it("names every metric", () =>
      assert.deepStrictEqual(
        untold((run) => fs.readFileSync(path.join(run, "metrics.jsonl"), "utf8").trim().split("\n").flatMap((line) => Object.keys(JSON.parse(line)))),
        []
      ))
    it("names every field of summary.json", () =>
      assert.deepStrictEqual(untold((run) => Object.keys(JSON.parse(fs.readFileSync(path.join(run, "summary.json"), "utf8")))), []))
    it("names every table of run.db, and its query is one", () =>
      assert.deepStrictEqual(
        untold((run) => {
          const db = new DatabaseSync(path.join(run, "run.db"), { readOnly: true })
          for (const { code, language } of blocksOf(told)) if (language === "sql") db.prepare(code).all()
          const rows = db.prepare("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").all()
          db.close()
          return rows.map(({ name }) => String(name))
        }),
        []
      ))
  })
})

describe("command lines", async () => {
  /** Every command, by its file; it does nothing but look at the settings that it was given. */
  const commands = (await Promise.all(
    fs.readdirSync(path.join(root, "src/commands")).filter((name) => name !== "vequinox.ts").map((name) => import(`../src/commands/${name.slice(0, -3)}.ts`))
  )).flatMap((module: object) => Object.values(module)).filter(Command.isCommand)
    .map((command) =>
      Command.withHandler(command as Command.Command<string, Readonly<Record<string, unknown>>>, (flags) =>
        resolveConfig(undefined, givenSettings(Object.fromEntries(
          Object.entries(flags).filter(([name, value]) => name in settings && Option.isOption(value)) as ReadonlyArray<[string, Option.Option<string>]>
        ))).pipe(Effect.asVoid, Effect.orDie)))

  /** What is wrong with it, and the flags that its help tells of. */
  const parsed = async (args: ReadonlyArray<string>) => {
    const told: { wrong: Array<string>; flags: Array<string> } = { wrong: [], flags: [] }
    const presenter = CliOutput.layerPresenter({
      present: (event) =>
        Effect.sync(() => {
          if (event._tag === "InvalidInvocation") told.wrong.push(...event.errors.map(({ message }) => message))
          if ("helpDoc" in event) told.flags.push(...[...event.helpDoc.flags, ...event.helpDoc.globalFlags ?? []].flatMap(({ aliases, name }) => [`--${name}`, ...aliases]))
        })
    })
    const root = Command.make("vequinox").pipe(Command.withSubcommands(commands as unknown as [typeof commands[number]]))
    await Effect.runPromise(
      Command.runWith(root, { version: "0" })(withHyphens(args)).pipe(
        Effect.catchCause((cause) => Effect.sync(() => told.wrong.push(String(cause)))),
        Effect.provide([presenter, NodeServices.layer])
      )
    )
    return told
  }

  const lines = [
    ...blocks.filter(({ language }) => language === "sh").flatMap(({ code, where }) => code.replaceAll("\\\n", " ").split("\n").map((line) => ({ line, where }))),
    ...all.flatMap((document) => spansOf(document).filter((span) => span.startsWith("vequinox ")).map((line) => ({ line, where: document.file })))
  ]
  const known = lines.flatMap(({ line, where }) => {
    const args = argumentsOf(line)
    return args === undefined ? [] : [{ args: args.length === 1 ? [...args, "--help"] : args, line, where }] // a name alone is no line
  })

  it("every one that runs vequinox parses, and its settings are in range", async () => {
    const wrong = await Promise.all(known.map(async ({ args, line, where }) => (await parsed(args)).wrong.map((message) => `${where}: ${line}: ${message}`)))
    assert.deepStrictEqual(wrong.flat(), [])
    assert.isAtLeast(known.length, 20)
  })

  it("is known from a wrong one", async () => {
    for (const line of ["vequinox trian", "vequinox train --no-such-flag 1", "vequinox sft --out x", "vequinox train --beta -1", "vequinox train --loss-type reinforce --beta 1"]) {
      assert.isAbove((await parsed(argumentsOf(line)!)).wrong.length, 0, line)
    }
  })

  it("every one that runs a script of package.json has one to run", () => {
    const { scripts } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")) as { readonly scripts: Readonly<Record<string, string>> }
    const ran = [...lines.map(({ line }) => line), ...all.flatMap(spansOf)].map(scriptOf).filter((name) => name !== undefined)
    assert.deepStrictEqual(ran.filter((name) => !Object.hasOwn(scripts, name) && name !== "pack"), [])
    assert.isAtLeast(ran.length, 5)
  })

  it("every flag in the text is some command's", async () => {
    const flags = new Set((await Promise.all(commands.map(({ name }) => parsed([name, "--help"])))).flatMap((told) => told.flags))
    const said = all.flatMap((document) => spansOf(document).filter((span) => span.startsWith("--")).map((span) => ({ file: document.file, flag: span.split(/[ =]/)[0]! })))
    assert.deepStrictEqual(said.filter(({ flag }) => !flags.has(flag)), [])
    assert.isAtLeast(said.length, 20)
  })

  it("docs/commands.md has every command", () => {
    const spans = spansOf(all.find(({ file }) => file === "docs/commands.md")!)
    assert.deepStrictEqual(commands.filter(({ name }) => !spans.some((span) => span.split(" ")[1] === name)).map(({ name }) => name), [])
  })
})

describe("tables", () => {
  for (const table of Object.values(tables)) {
    it(`${table.file} has the code's; node test/support/docs-tables.ts writes it`, () => assert.strictEqual(tableIn(table), tableOf(table)))
  }
})

describe("CONTRIBUTING.md", () => {
  const document = { file: "CONTRIBUTING.md", text: fs.readFileSync(path.join(root, "CONTRIBUTING.md"), "utf8") }
  const invariants = [...document.text.matchAll(/^(\d+)\. \*\*([\s\S]*?)(?=^\d+\. \*\*|^## )/gm)].map(([text, number]) => ({ number, text }))

  it("numbers the invariants from 1, each with a test", () => {
    assert.deepStrictEqual(invariants.map(({ number }) => number), invariants.map((_, n) => String(n + 1)))
    assert.isAtLeast(invariants.length, 11)
    for (const { text } of invariants) assert.match(text, /`test\/[\w/.-]+\.ts`/)
  })

  it("has every invariant that is cited", () => {
    const cited = ["src", "layers", "test", "bench", "examples"].flatMap((folder) =>
      fs.readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
        .flatMap((file) => [...fs.readFileSync(path.join(root, folder, file), "utf8").matchAll(/\binvariants? (\d+(?: and \d+)*)/gi)])
        .flatMap(([, numbers = ""]) => numbers.split(" and ")))
    assert.isAbove(cited.length, 10)
    assert.deepStrictEqual([...new Set(cited)].filter((number) => !invariants.some((invariant) => invariant.number === number)), [])
  })

  it("and README.md and docs/ name files that are there", () => {
    const named = [document, ...all].flatMap((each) =>
      spansOf(each).filter((span) => /^(src|layers|test|bench|models|examples|docs)\/[\w./*-]*$/.test(span)).map((span) => ({ file: each.file, span })))
    assert.isAtLeast(named.length, 50)
    const inRoot = (span: string) => fs.existsSync(path.join(root, span)) || fs.existsSync(path.join(root, `${span}.ts`))
    assert.deepStrictEqual(named.filter(({ span }) => span.includes("*") ? fs.globSync(span, { cwd: root }).length === 0 : !inRoot(span)), [])
  })
})

describe("links", () => {
  const { files } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")) as { readonly files: ReadonlyArray<string> }
  for (const document of all) {
    it(`${document.file}: each leads somewhere, in the package too`, () => {
      for (const link of linksOf(document).filter((link) => !/^https?:/.test(link))) {
        const [to = "", anchor] = link.split("#")
        const file = to === "" ? document.file : path.join(path.dirname(document.file), to)
        assert.isTrue(fs.existsSync(path.join(root, file)), link)
        assert.isTrue(file === "README.md" || files.some((packed) => file === packed || file.startsWith(`${packed}/`)), `${link} is not in the package`)
        if (anchor !== undefined) assert.include(anchorsOf(all.find((each) => each.file === file)!), anchor, link)
      }
    })
  }

  it("every file of docs/ is reached from README.md", () => {
    const linked = linksOf(all.find(({ file }) => file === "README.md")!)
    assert.deepStrictEqual(all.map(({ file }) => file).filter((file) => file !== "README.md" && !linked.includes(file)), [])
  })
})
