import * as os from "node:os"
import * as path from "node:path"
import { defineConfig } from "vitest/config"

// The threads that tests start find compiled code where the command keeps it (src/main.ts).
process.env["NODE_COMPILE_CACHE"] ??= path.join(os.tmpdir(), "node-compile-cache")

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/icons/**", "test/package/**", "test/soak/**"],
    testTimeout: 180_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2
  }
})
