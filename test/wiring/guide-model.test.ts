import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { askedModel, type GuideSettings } from "../../src/wiring/judges/guide-model.ts"

const settings: GuideSettings = {
  budget_usd: 5,
  guide: "openai",
  judge_batch: false,
  judge_cache: "",
  judge_format: "json_schema",
  judge_free: false,
  judge_input_price: 0,
  judge_model: "qwen-vl",
  judge_output_price: 0,
  judge_timeout: 30
}
const asked = (env: Record<string, string>, more: Partial<GuideSettings> = {}) =>
  askedModel({ ...settings, ...more }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env))))
const key = { OPENAI_API_KEY: "sk-secret" }

describe("the guide model behind OPENAI_BASE_URL", () => {
  const refusals: ReadonlyArray<readonly [string, Record<string, string>, Partial<GuideSettings>, RegExp]> = [
    ["no model", key, { judge_model: "" }, /no default model: name the server's with --judge-model/],
    ["no key for the public API", {}, {}, /set OPENAI_API_KEY .*or OPENAI_BASE_URL/],
    ["nor where the public API is named", { OPENAI_BASE_URL: "https://api.openai.com/v1" }, {}, /set OPENAI_API_KEY/],
    ["an unknown price", key, {}, /price of qwen-vl is not known .*--judge-input-price/],
    ["half a price", key, { judge_input_price: 1 }, /price of qwen-vl is not known/],
    ["an unknown price elsewhere", { OPENAI_BASE_URL: "https://models.example.com/v1" }, {}, /price of qwen-vl is not known/],
    ["an unknown price in its own network", { OPENAI_BASE_URL: "http://litellm:4000/v1" }, {}, /or --judge-free for a server that sends no bill\.$/],
    ["a free public API", key, { judge_free: true }, /--judge-free is for a server of your own at OPENAI_BASE_URL: the OpenAI API is paid for/],
    ["a free Claude", { ANTHROPIC_API_KEY: "sk-secret" }, { guide: "claude", judge_free: true }, /--judge-free .*: Claude is paid for/],
    ["free, and a price", { OPENAI_BASE_URL: "http://vllm:8000" }, { judge_free: true, judge_input_price: 1 }, /a price is given: leave one of the two out/],
    ["batches", key, { judge_batch: true }, /--judge-batch uses Claude's/],
    ["no scheme", { OPENAI_BASE_URL: "localhost:8000" }, {}, /OPENAI_BASE_URL is not an address/],
    ["a password in the address", { OPENAI_BASE_URL: "http://me:sk-secret@localhost/v1" }, {}, /a key belongs in OPENAI_API_KEY/]
  ]
  for (const [name, env, more, message] of refusals) {
    it.effect(`is refused: ${name}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(asked(env, more))
        assert.strictEqual(error._tag, "BadInput")
        assert.match(error.message, message)
        assert.notInclude(error.message, "sk-secret")
      }))
  }

  for (const host of ["localhost:8000", "127.0.0.1:11434", "127.1.2.3", "[::1]:8080"]) {
    it.effect(`costs nothing at ${host}, and needs no key`, () =>
      Effect.gen(function*() {
        const { price } = yield* asked({ OPENAI_BASE_URL: `http://${host}/v1/` })
        assert.deepStrictEqual(price, { input: 0, output: 0 })
      }))
  }

  // A proxy that sends bills can have each of these names.
  const others = ["172.32.0.1", "8.8.8.8", "10.example.com", "[2606:4700::1]", "local.example.com"]
  const near = ["192.168.1.7", "10.0.0.2", "172.20.0.3", "vllm:8000", "litellm", "gpu.local", "proxy.internal", "a.localhost", "169.254.1.1", "0.0.0.0", "[fd00::1]", "127.0.0.1.example.com"]
  for (const host of [...others, ...near]) {
    it.effect(`is not free at ${host}`, () =>
      Effect.gen(function*() {
        const paid = { judge_input_price: 2, judge_output_price: 8 }
        assert.match((yield* Effect.flip(asked({ OPENAI_BASE_URL: `https://${host}/v1` }))).message, /price/)
        assert.deepStrictEqual((yield* asked({ OPENAI_BASE_URL: `https://${host}/v1` }, paid)).price, { input: 2, output: 8 })
        assert.deepStrictEqual((yield* asked({ OPENAI_BASE_URL: `https://${host}/v1` }, { judge_free: true })).price, { input: 0, output: 0 })
      }))
  }
})

it.effect("Claude's has a default, and its key is its own", () =>
  Effect.gen(function*() {
    const claude = { guide: "claude", judge_model: "" } as const
    assert.match((yield* Effect.flip(asked(key, claude))).message, /set ANTHROPIC_API_KEY/)
    const { model, price } = yield* asked({ ANTHROPIC_API_KEY: "sk-ant" }, claude)
    assert.deepStrictEqual([model, price], ["claude-haiku-4-5", { input: 1, output: 5 }])
    const batched = yield* asked({ ANTHROPIC_API_KEY: "sk-ant" }, { ...claude, judge_batch: true })
    assert.deepStrictEqual(batched.price, { input: 0.5, output: 2.5 })
  }))

describe("the price of a Claude model", () => {
  const claude = (judge_model: string, more: Partial<GuideSettings> = {}) =>
    asked({ ANTHROPIC_API_KEY: "sk-ant" }, { guide: "claude", judge_model, ...more })

  it.effect("is known of Haiku 5.5, long prompts too", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* claude("claude-haiku-5-5")).price, { input: 0.1, output: 0.5, long: { above: 100_000, input: 0.5, output: 2.5 } })
      const batched = yield* claude("claude-haiku-5-5", { judge_batch: true })
      assert.deepStrictEqual(batched.price, { input: 0.05, output: 0.25, long: { above: 100_000, input: 0.25, output: 1.25 } })
    }))

  it.effect("is replaced by one from the settings, whatever the prompt's length", () =>
    Effect.gen(function*() {
      const { price } = yield* claude("claude-haiku-5-5", { judge_output_price: 9 })
      assert.deepStrictEqual(price, { input: 0.1, output: 9, long: { above: 100_000, input: 0.5, output: 9 } })
    }))

  for (const judge_batch of [false, true]) {
    for (const name of ["claude-next", "constructor"]) {
      it.effect(`is asked for by flag where it is not known: ${name}, in batches: ${judge_batch}`, () =>
        Effect.gen(function*() {
          const message = `The price of ${name} is not known here: give --judge-input-price and --judge-output-price, in USD per million tokens.`
          assert.strictEqual((yield* Effect.flip(claude(name, { judge_batch }))).message, message)
          const { price } = yield* claude(name, { judge_batch, judge_input_price: 3, judge_output_price: 15 })
          assert.deepStrictEqual(price, { input: 3, output: 15 })
        }))
    }
  }
})
