/**
 * `pnpm run test:long`: whole trainings that are killed, resumed and compared, and the commands that take longest; so no part of `pnpm test`. They wait for
 * child processes half of the time, so three run at once.
 */
import { defineConfig } from "vitest/config"
import { common } from "../../vitest.config.ts"

export default defineConfig({ test: { ...common, maxWorkers: 3, include: ["test/long/*.test.ts"] } })
