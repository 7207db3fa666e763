/** `pnpm run test:browser`: minutes, and a Chromium; so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/browser/*.test.ts"], testTimeout: 120_000, hookTimeout: 300_000, pool: "forks", maxWorkers: 1 }
})
