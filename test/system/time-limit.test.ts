/** Work whose time a stranger's text decides is ended; work that the machine kept waiting is not. */
import { assert, it } from "vitest"
import { TimeLimitPassed, within } from "../../src/system/time-limit.ts"

it("ends work that takes too long", () => {
  assert.throws(() => within(0.2, () => {
    for (;;);
  }), TimeLimitPassed)
})

it("does the work again where other processes had the cores", () => {
  const bell = new Int32Array(new SharedArrayBuffer(4))
  let calls = 0
  const work = () => {
    if (++calls < 3) Atomics.wait(bell, 0, 0, 3000) // time passes, and none of it is ours
    return calls
  }
  assert.strictEqual(within(0.5, work), 3)
})

it("gives up where it never gets the cores", () => {
  const bell = new Int32Array(new SharedArrayBuffer(4))
  assert.throws(() => within(0.02, () => Atomics.wait(bell, 0, 0, 1000)), TimeLimitPassed)
})
