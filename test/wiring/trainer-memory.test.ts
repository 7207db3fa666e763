/** How --memory-gb shapes a run's trainer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fittingRuns } from "../../src/wiring/run/trainer-memory.ts"
import { resolveConfig } from "../../src/wiring/settings.ts"
import { published } from "../../src/wiring/machine/models-that-fit.ts"
import { allLinear } from "../../src/engine/nets/transformer.ts"

const lora = { r: 16, alpha: 32, targets: allLinear }
const runsOf = Effect.fnUntraced(function*(memory_gb: number, tokens_per_run = 4096) {
  const c = yield* resolveConfig(undefined, { max_length: 256, num_generations: 2, tokens_per_run, memory_gb })
  return yield* fittingRuns(c, published["SmolLM2-135M"]!, lora)
})

describe("--memory-gb", () => {
  it.effect("shortens runs, then checkpoints gradients", () =>
    Effect.gen(function*() {
      const wide = yield* runsOf(7, 2048)
      const short = yield* runsOf(2)
      const lean = yield* runsOf(1)
      assert.deepStrictEqual(wide, { tokens_per_run: 2048, gradient_checkpointing: false })
      assert.isBelow(short.tokens_per_run, 4096)
      assert.isFalse(short.gradient_checkpointing)
      assert.isTrue(lean.gradient_checkpointing)
    }))

  it.effect("says what is needed at least when nothing fits", () =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(runsOf(0.5))
      assert.match(message, /^The trainer needs about 0\.\d GB at least, and --memory-gb gives it 0\.5 GB: take a smaller model/)
    }))
})
