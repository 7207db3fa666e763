/** `pnpm run test:package`: minutes, and npm's registry; so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/package/*.test.ts"], testTimeout: 300_000, hookTimeout: 600_000, pool: "forks", maxWorkers: 1 }
})
