/** `pnpm run test:long`: whole trainings that are killed, resumed and compared, and the commands that take longest; so no part of `pnpm test`. */
import { defineConfig } from "vitest/config"
import { common } from "../../vitest.config.ts"

export default defineConfig({ test: { ...common, include: ["test/long/*.test.ts"] } })
