import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { defineConfig } from "vitest/config"

// The threads that tests start find compiled code where the command keeps it (src/main.ts).
process.env["NODE_COMPILE_CACHE"] ??= path.join(os.tmpdir(), "node-compile-cache")

export const common = { testTimeout: 180_000, hookTimeout: 60_000, pool: "forks", maxWorkers: 2 } as const

/** Folders of suites that have a command of their own. */
const apart = fs.readdirSync("test").filter((folder) => fs.existsSync(`test/${folder}/vitest.config.ts`))

export default defineConfig({
  test: { ...common, include: ["test/**/*.test.ts"], exclude: apart.map((folder) => `test/${folder}/**`) }
})
