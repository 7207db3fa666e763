/** `pnpm run test:peers`: needs Python and the peers' own packages (README.md); so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/peers/*.test.ts"], testTimeout: 300_000, hookTimeout: 300_000, pool: "forks", maxWorkers: 1 }
})
