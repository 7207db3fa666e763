/** Every file of examples/ runs by itself, as a reader would run it. */
import { execFile } from "node:child_process"
import { readdirSync } from "node:fs"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"

const root = new URL("..", import.meta.url)
const files = readdirSync(new URL("examples", root)).filter((name) => name.endsWith(".ts"))

describe("examples", () => {
  for (const name of files) {
    it(`node examples/${name}`, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [`examples/${name}`], { cwd: root, timeout: 300_000 })
      assert.isAbove(stdout.trim().length, 0)
    }, 300_000)
  }
})
