/** `pnpm run test:gpu`: on a WebGPU device, real or in software; without one it leaves itself out. */
import { defineConfig } from "vitest/config"
import { hasDevice } from "./device.ts"

export default defineConfig(async () => {
  const found = await hasDevice()
  if (!found) console.log("Left out: no WebGPU device answers, and Debian's package chromium, which brings one in software, is not installed.")
  return {
    test: {
      include: found ? ["test/gpu/*.test.ts"] : [], passWithNoTests: !found, testTimeout: 300_000, hookTimeout: 300_000, pool: "forks", maxWorkers: 1
    }
  }
})
