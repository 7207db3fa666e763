/** The linter of arrows fails where one is wrong: on a copy of the tree with a wrong one planted. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "vitest"
import { scratchFolder } from "../support/scratch-folder.ts"

const root = path.resolve(import.meta.dirname, "../..")
const work = scratchFolder("arrows")
for (const name of ["src", "layers", ".ci", ".dependency-cruiser.mjs", "CONTRIBUTING.md", "package.json", "tsconfig.json"]) {
  fs.cpSync(path.join(root, name), path.join(work, name), { recursive: true })
}
fs.symlinkSync(path.join(root, "node_modules"), path.join(work, "node_modules"))

const lint = (): { readonly code: number; readonly said: string } => {
  try {
    return { code: 0, said: execFileSync(process.execPath, [".ci/arrows.mjs", "--check"], { cwd: work, encoding: "utf8", stdio: "pipe" }) }
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: string }
    return { code: status, said: stderr }
  }
}

const planted = [
  ["an arrow that points up", "src/lessons/planted.ts", "import \"../wiring/settings.ts\"\n", "src/lessons imports only what stands below it"],
  ["an arrow to a neighbour", "layers/judge/planted.ts", "import \"../buffer/memory.ts\"\n", "layers/judge imports only what stands below it"],
  ["Effect in the engine", "src/engine/planted.ts", "import { Effect } from \"effect\"\nexport const x = Effect.void\n", "no Effect"],
  ["a second owner of the binding", "src/wiring/planted.ts", "import * as ort from \"onnxruntime-node\"\nexport const x = ort\n", "in one place"],
  ["a folder nobody knows", "src/misc/planted.ts", "import \"../domain.ts\"\n", "every room has a floor"]
] as const

describe("the linter of arrows", () => {
  it("finds nothing wrong in this tree, and the drawing up to date", () => {
    const { code, said } = lint()
    assert.strictEqual(code, 0, said)
    assert.include(said, "every arrow points down")
  })

  it(`fails on ${planted.map(([what]) => what).join(", ")}`, () => {
    for (const [, file, text] of planted) {
      fs.mkdirSync(path.dirname(path.join(work, file)), { recursive: true })
      fs.writeFileSync(path.join(work, file), text)
    }
    const { code, said } = lint()
    assert.strictEqual(code, 1)
    for (const [what, file, , rule] of planted) {
      assert.isTrue(said.split("\n").some((line) => line.startsWith(file) && line.includes(rule)), `${what}:\n${said}`)
    }
  })
})
