/** `pnpm run test:postgres`: needs Debian's package postgresql, and minutes; so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/postgres/*.test.ts"], testTimeout: 600_000, hookTimeout: 120_000, pool: "forks", maxWorkers: 1 }
})
