/** Every row of the op table on WebGPU: its kernel's derivative against central differences. */
import { describe, it } from "@effect/vitest"
import { cases, derivativeHolds } from "../support/op-cases.ts"

describe("op table on WebGPU", () => {
  for (const [op, list] of Object.entries(cases)) {
    list.forEach((test, n) => it(`${op} ${n}: derivative equals the central difference`, () => derivativeHolds(test, n, "webgpu")))
  }
})
