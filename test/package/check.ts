/**
 * `pnpm run check:package`: what publint and attw make of the packed package. Every layer is looked at by name, since attw
 * looks at no entry that package.json gives by a pattern. CommonJS has to import() it: the package is ESM only.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { checkout, pack } from "./project.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-package-"))
const layers = fs.readdirSync(path.join(checkout, "layers"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => `layers/${file.slice(0, -3)}`)

try {
  const tarball = await pack(folder)
  for (const [program, ...args] of [
    ["publint", "run", tarball, "--strict"],
    ["attw", tarball, "--profile", "esm-only", "--format", "ascii", "--include-entrypoints", ...layers]
  ] as const) {
    const { status, stderr, stdout } = spawnSync(path.join(checkout, "node_modules/.bin", program), args, { encoding: "utf8" })
    if (status === 0) console.log(`${program}: the package is sound`)
    else {
      console.error(stdout + stderr)
      process.exitCode = 1
    }
  }
} finally {
  fs.rmSync(folder, { recursive: true })
}
