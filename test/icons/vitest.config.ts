/** `pnpm run test:icons`: needs the icons of two npm packages, 100 MB; so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"

export default defineConfig({ test: { include: ["test/icons/*.test.ts"], testTimeout: 120_000, hookTimeout: 120_000 } })
