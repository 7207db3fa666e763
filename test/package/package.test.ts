/**
 * The package as it is published: packed, installed by plain npm into an empty project outside of the checkout, and used there
 * from the command line, from JavaScript and from TypeScript, on each Node that it says it runs on.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { packageJson } from "../../src/system/installed.ts"
import { checkout, emptyProject, output, pack, type Project } from "./project.ts"

const work = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-package-"))
let tarball: string
beforeAll(async () => void (tarball = await pack(work)))
afterAll(() => fs.rmSync(work, { recursive: true, force: true }))

const consumer = path.join(import.meta.dirname, "consumer")
const examples = fs.readdirSync(path.join(checkout, "examples")).filter((name) => name.endsWith(".ts"))
const typescript = JSON.parse(fs.readFileSync(path.join(checkout, "package.json"), "utf8")).devDependencies.typescript as string

const filesBelow = (folder: string): ReadonlyArray<string> =>
  fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted()

/** Changes with any file of the folder: its name, bytes, and when it was written. */
const stateOf = (folder: string): string => {
  const hash = createHash("sha256")
  for (const file of filesBelow(folder)) hash.update(`${file} ${fs.statSync(file).mtimeMs} `).update(fs.readFileSync(file))
  return hash.digest("hex")
}

/** Prints what a user would see, and returns it. */
const shown = async (what: string, said: Promise<string>): Promise<string> => {
  const text = await said
  console.log(`$ ${what}\n${text.trimEnd()}`)
  return text
}

/** The oldest that package.json admits, and the one that the checkout runs on. */
for (const node of ["22.19.0", "24"]) {
  describe(`on Node ${node}`, () => {
    let project: Project
    let installed: string
    let before: string
    const vequinox = (...args: ReadonlyArray<string>) => output(project.run("npx", "vequinox", ...args))

    beforeAll(async () => {
      project = await emptyProject(work, node)
      await output(project.run("npm", "install", "--no-audit", "--no-fund", tarball))
      installed = path.join(project.folder, "node_modules/vequinox")
      before = stateOf(installed)
    })

    it("the command line says its version", async () => {
      assert.match(await shown("node --version", output(project.run("node", "--version"))), new RegExp(`^v${node}\\b`))
      assert.strictEqual(await shown("npx vequinox --version", vequinox("--version")), `vequinox v${packageJson.version}\n`)
    })

    it("doctor finds all that a run needs", async () => {
      const { devices, ready, renderer } = JSON.parse(await vequinox("doctor", "--json"))
      assert.deepStrictEqual({ cpu: devices.cpu.ok, ready, renderer: renderer.ok }, { cpu: true, ready: true, renderer: true })
    })

    it("render draws an SVG, letters too", async () => {
      fs.writeFileSync(path.join(project.folder, "plum.svg"),
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="20" fill="purple"/><text x="8" y="60">plum</text></svg>`)
      const line = await shown("npx vequinox render plum.svg --allow-text --out pictures",
        vequinox("render", "plum.svg", "--allow-text", "--out", "pictures"))
      assert.strictEqual(JSON.parse(line).outcome, "rendered")
      assert.isTrue(fs.existsSync(path.join(project.folder, "pictures/plum.png")))
    })

    it("a bucket needs a package that is not installed with it, and the command says which", async () => {
      const { stderr } = await project.run("npx", "vequinox", "train", "--storage-path", "s3://runs/first")
      assert.include(stderr, `npm install @aws-sdk/client-s3@${packageJson.peerDependencies["@aws-sdk/client-s3"]}`)
    })

    it("train leaves its run in the current folder", async () => {
      const flags = "--steps 1 --prompts-per-step 2 --k 2 --eval-prompts 4".split(" ")
      const ended = await project.run("npx", "vequinox", "train", ...flags)
      await shown(`npx vequinox train ${flags.join(" ")}`, output(Promise.resolve(ended)))
      assert.notInclude(ended.stderr, "Warning")
      const runs = path.join(project.folder, "runs")
      const run = path.join(runs, fs.readdirSync(runs)[0]!)
      assert.includeMembers(fs.readdirSync(run), ["adapter", "config.json", "metrics.jsonl", "report.html", "run.db", "summary.json"])
      const { steps } = JSON.parse(fs.readFileSync(path.join(run, "summary.json"), "utf8"))
      assert.strictEqual(steps, 1)
    })

    it("studio serves its page, whole", async () => {
      fs.copyFileSync(path.join(consumer, "studio.js"), path.join(project.folder, "studio.js"))
      const { files, runs } = JSON.parse(await shown("node studio.js", output(project.run("node", "studio.js"))))
      assert.deepStrictEqual(runs, ["finished"])
      assert.isAbove(files, 25)
    })

    it("JavaScript imports every entry and composes a stream", async () => {
      fs.copyFileSync(path.join(consumer, "compose.js"), path.join(project.folder, "compose.js"))
      const line = await shown("node compose.js", output(project.run("node", "compose.js")))
      const { layers, parameters, scene, steps, tokens } = JSON.parse(line)
      assert.deepStrictEqual({ layers, scene, steps }, { layers: true, scene: true, steps: [0, 1, 2] })
      assert.isAbove(parameters, 1e6)
      assert.isAbove(tokens, 0)
    })

    for (const example of examples) {
      it(`the example ${example} runs as it is`, async () => {
        fs.copyFileSync(path.join(checkout, "examples", example), path.join(project.folder, example))
        const said = await shown(`node ${example}`, output(project.run("node", example)))
        assert.isAbove(said.trim().length, 0)
      })
    }

    it("nothing of all that wrote into the installed package", () => assert.strictEqual(stateOf(installed), before))

    if (node === "24") {
      describe("TypeScript", () => {
        beforeAll(async () => {
          await output(project.run("npm", "install", "--no-audit", "--no-fund", `typescript@${typescript}`, "@types/node@24"))
          fs.copyFileSync(path.join(consumer, "consumer.ts"), path.join(project.folder, "consumer.ts"))
        })

        for (const [module, moduleResolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
          it(`checks a user's program, the examples and all declarations under ${moduleResolution}`, async () => {
            fs.writeFileSync(path.join(project.folder, "tsconfig.json"), JSON.stringify({
              compilerOptions: { target: "ES2024", module, moduleResolution, strict: true, noEmit: true, skipLibCheck: false, types: ["node"] },
              files: ["consumer.ts", ...examples]
            }))
            const said = await project.run("npx", "tsc")
            assert.deepStrictEqual(said, { code: 0, stdout: "", stderr: "" })
          })
        }
      })
    }
  })
}

it("a Node that is too old is told so in one sentence", async () => {
  const old = await emptyProject(work, "20")
  const { code, stderr, stdout } = await old.run("node", path.join(work, "project-24/node_modules/vequinox/dist/src/main.js"), "--version")
  assert.match(stderr, /^vequinox needs Node >=22\.19\.0 and this is Node v20\.[\d.]+: install a newer one\.\n$/)
  assert.deepStrictEqual({ code, stdout }, { code: 1, stdout: "" })
})

describe("what is in the package", () => {
  const root = path.join(work, "project-24/node_modules/vequinox")
  const files = () => filesBelow(root)

  it("maps lead to sources that are there", () => {
    const maps = files().filter((file) => file.endsWith(".map"))
    assert.isAbove(maps.length, 0)
    for (const file of maps) {
      const { sources } = JSON.parse(fs.readFileSync(file, "utf8")) as { readonly sources: ReadonlyArray<string> }
      for (const source of sources) assert.isTrue(fs.existsSync(path.resolve(path.dirname(file), source)), `${file}: ${source}`)
    }
  })

  it("nothing that npm installed beside an example", () => {
    assert.deepStrictEqual(files().filter((file) => path.relative(root, file).includes("node_modules")), [])
  })

  it("no path of this checkout", () => {
    for (const file of files()) assert.isFalse(fs.readFileSync(file).includes(checkout), file)
  })
})
