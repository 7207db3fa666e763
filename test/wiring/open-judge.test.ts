import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Schema } from "effect"
import { forecast } from "../../src/wiring/judges/open-judge.ts"
import { TrainConfig } from "../../src/wiring/settings.ts"

const settings = Schema.decodeSync(TrainConfig)({ judge: "claude" })
const told = (more: Partial<TrainConfig>) =>
  forecast({ ...settings, ...more }, { prompts: 250, k: 4, pairs: 1000 }).pipe(
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ ANTHROPIC_API_KEY: "sk-ant" })))
  )

// 2000 calls of 1200 tokens in and 250 out; Haiku 5.5 thinks 200 more, a model without a row 1000.
const cases: ReadonlyArray<readonly [string, Partial<TrainConfig>, RegExp]> = [
  ["Haiku 4.5", {}, /^claude-haiku-4-5 may be asked 2000 times for up to 1000 pairs: about \$4\.90, /],
  ["Haiku 5.5", { judge_model: "claude-haiku-5-5" }, /^claude-haiku-5-5 .*: about \$0\.69, /],
  ["Haiku 5.5 in batches", { judge_model: "claude-haiku-5-5", judge_batch: true }, /^claude-haiku-5-5 .*: about \$0\.3[45], /],
  ["a model whose price is given", { judge_model: "claude-next", judge_input_price: 2, judge_output_price: 10 }, /^claude-next .*: about \$29\.80, /]
]
for (const [name, more, expected] of cases) {
  it.effect(`the forecast counts what the model thinks: ${name}`, () =>
    Effect.gen(function*() {
      assert.match((yield* told(more))!, expected)
    }))
}
