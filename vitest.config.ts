import * as os from "node:os"
import * as path from "node:path"
import { defineConfig } from "vitest/config"

// The threads that tests start find compiled code where the command keeps it (src/main.ts).
process.env["NODE_COMPILE_CACHE"] ??= path.join(os.tmpdir(), "node-compile-cache")

export const common = { testTimeout: 180_000, hookTimeout: 60_000, pool: "forks", maxWorkers: 2 } as const

export default defineConfig({
  test: { ...common, include: ["test/**/*.test.ts"], exclude: ["test/browser/**", "test/icons/**", "test/long/**", "test/outside/**", "test/package/**", "test/peers/**", "test/postgres/**", "test/soak/**"] }
})
