/** `pnpm run test:soak`: two minutes of struck runs; so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/soak/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, pool: "forks", maxWorkers: 1 }
})
