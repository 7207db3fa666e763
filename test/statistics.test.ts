import { assert, it } from "@effect/vitest"
import { wilson } from "../src/statistics.ts"

it.each([
  [50, 100, 0.4038, 0.5962],
  [0, 10, 0, 0.2775],
  [10, 10, 0.7225, 1],
  [0, 0, 0, 1]
])("wilson of %d in %d", (successes, n, lower, upper) => {
  const interval = wilson(successes, n)
  assert.approximately(interval.lower, lower, 5e-5)
  assert.approximately(interval.upper, upper, 5e-5)
})
