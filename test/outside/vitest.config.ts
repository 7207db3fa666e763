/** `pnpm run test:outside`: what llama.cpp and transformers.js make of exports; needs both, and SmolLM2; so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { include: ["test/outside/*.test.ts"], testTimeout: 600_000, hookTimeout: 600_000, pool: "forks", maxWorkers: 1 }
})
