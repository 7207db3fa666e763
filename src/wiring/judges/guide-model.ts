/** The guide model that some judges ask: its transport, key, price, budget and stored answers. */
import * as path from "node:path"
import { Config, type Config as ConfigType, Effect, Layer, Option } from "effect"
import { Answers } from "../../../layers/guide/answers.ts"
import type { AnswersFailed } from "../../../layers/guide/answers-failed.ts"
import { claudeModel, defaultClaude } from "../../../layers/guide/claude-models.ts"
import { makeClaude } from "../../../layers/guide/claude.ts"
import * as claudeBatches from "../../../layers/guide/claude-batches.ts"
import { Guide } from "../../../layers/guide/guide.ts"
import { isPublicApi, makeOpenAI } from "../../../layers/guide/openai.ts"
import { batchPrice, type Price } from "../../../layers/guide/prices.ts"
import type { TrainConfig } from "../settings.ts"
import { BadInput } from "../../system/errors.ts"
import { serverUrl } from "../../system/server-address.ts"
import { cacheFolder } from "../cache-folder.ts"

export type GuideSettings = Pick<
  TrainConfig,
  | "budget_usd"
  | "guide"
  | "judge_batch"
  | "judge_cache"
  | "judge_format"
  | "judge_free"
  | "judge_input_price"
  | "judge_model"
  | "judge_output_price"
  | "judge_timeout"
>

export type GuideLayer = Layer.Layer<Guide, AnswersFailed>

interface AskedModel {
  readonly model: string
  readonly price: Price
  /** Tokens that it usually thinks before an answer, paid as output. */
  readonly thinking: number
  readonly layer: Layer.Layer<Guide, AnswersFailed, Answers>
}

const set = <A>(config: ConfigType.Config<A>) => Effect.map(Config.option(config), Option.getOrUndefined)

/** A price in the settings comes before the known price of the model. */
const priceOf = (settings: GuideSettings, model: string, known: Price | undefined): Effect.Effect<Price, BadInput> => {
  const inputOf = (price: Pick<Price, "input"> | undefined) => settings.judge_input_price || price?.input
  const outputOf = (price: Pick<Price, "output"> | undefined) => settings.judge_output_price || price?.output
  const [input, output] = [inputOf(known), outputOf(known)]
  const long = known?.long
  return input === undefined || output === undefined
    ? Effect.fail(
      new BadInput({
        message: `The price of ${model} is not known here: give --judge-input-price and --judge-output-price, in USD per million tokens${
          settings.guide === "openai" ? ", or --judge-free for a server that sends no bill" : ""
        }.`
      })
    )
    : Effect.succeed({
      input,
      output,
      ...(long === undefined ? {} : { long: { ...long, input: inputOf(long)!, output: outputOf(long)! } })
    })
}

const claude = Effect.fnUntraced(function*(settings: GuideSettings) {
  const model = settings.judge_model === "" ? defaultClaude : settings.judge_model
  if (settings.judge_free) yield* needFree(settings, undefined)
  const { price: listed, thinking } = claudeModel(model)
  const price = yield* priceOf(settings, model, listed && settings.judge_batch ? batchPrice(listed) : listed)
  const apiKey = yield* set(Config.Redacted("ANTHROPIC_API_KEY"))
  if (apiKey === undefined) {
    return yield* new BadInput({ message: "Claude needs a key: set ANTHROPIC_API_KEY in the environment." })
  }
  const baseUrl = yield* set(Config.String("ANTHROPIC_BASE_URL"))
  const options = { apiKey, baseUrl, model, price, budgetUsd: settings.budget_usd, deadline: settings.judge_timeout }
  return {
    model,
    price,
    thinking: thinking.usual,
    layer: settings.judge_batch ? claudeBatches.layer(options) : Guide.layer(makeClaude(options), options)
  }
})

/** Whether the host is this machine. Any other host, even one in its own network, may be a proxy that sends a bill. */
const isLoopback = ({ hostname }: URL): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)

/** Fails if nobody can know that the server is free, or if a price is given too. */
const needFree = (settings: GuideSettings, baseUrl: URL | undefined): Effect.Effect<void, BadInput> =>
  settings.guide === "claude" || baseUrl === undefined || isPublicApi(baseUrl)
    ? Effect.fail(
      new BadInput({
        message: `--judge-free is for a server of your own at OPENAI_BASE_URL: ${settings.guide === "claude" ? "Claude" : "the OpenAI API"} is paid for, so leave it out.`
      })
    )
    : settings.judge_input_price > 0 || settings.judge_output_price > 0
    ? Effect.fail(new BadInput({ message: "--judge-free says that there is no price, but a price is given: leave one of the two out." }))
    : Effect.void

const openAIAddress = Effect.fnUntraced(function*() {
  const text = yield* set(Config.String("OPENAI_BASE_URL"))
  if (text === undefined || text === "") return undefined
  const url = serverUrl(text)
  return url !== undefined && url.username === "" && url.password === ""
    ? url
    : yield* new BadInput({
      message: "OPENAI_BASE_URL is not an address: it should look like http://localhost:8000/v1, and a key belongs in OPENAI_API_KEY."
    })
})

const openai = Effect.fnUntraced(function*(settings: GuideSettings) {
  const model = settings.judge_model
  if (model === "") {
    return yield* new BadInput({ message: "The openai judge has no default model: name the server's with --judge-model." })
  }
  if (settings.judge_batch) {
    return yield* new BadInput({ message: "--judge-batch uses Claude's Message Batches, and the openai judge has none: leave it out." })
  }
  const baseUrl = yield* openAIAddress()
  const apiKey = yield* set(Config.Redacted("OPENAI_API_KEY"))
  if (apiKey === undefined && (baseUrl === undefined || isPublicApi(baseUrl))) {
    return yield* new BadInput({
      message: "The OpenAI API needs a key: set OPENAI_API_KEY in the environment, or OPENAI_BASE_URL to the address of another server."
    })
  }
  if (settings.judge_free) yield* needFree(settings, baseUrl)
  const free = settings.judge_free || (baseUrl !== undefined && isLoopback(baseUrl))
  const price = yield* priceOf(settings, model, free ? { input: 0, output: 0 } : claudeModel(model).price)
  const transport = makeOpenAI({ apiKey, baseUrl, deadline: settings.judge_timeout, format: settings.judge_format })
  return { model, price, thinking: 0, layer: Guide.layer(transport, { model, price, budgetUsd: settings.budget_usd }) }
})

/** Names what is missing or unknown before anything is built. */
export const askedModel: (settings: GuideSettings) => Effect.Effect<AskedModel, BadInput> = Effect.fnUntraced(
  function*(settings: GuideSettings) {
    return yield* settings.guide === "claude" ? claude(settings) : openai(settings)
  },
  Effect.catchTag("ConfigError", (error: ConfigType.ConfigError) => Effect.fail(new BadInput({ message: error.message })))
)

/** Answers that all runs share, so that none is paid for, or given by a person, twice. */
export const answersLayer = Effect.fnUntraced(function*({ judge_cache }: Pick<GuideSettings, "judge_cache">, name: string) {
  return Answers.layer(judge_cache === "" ? path.join(yield* cacheFolder, `${name}-answers.db`) : judge_cache)
})

export const guideLayer: (settings: GuideSettings) => Effect.Effect<GuideLayer, BadInput> = Effect.fnUntraced(
  function*(settings: GuideSettings) {
    const { layer } = yield* askedModel(settings)
    return layer.pipe(Layer.provide(yield* answersLayer(settings, settings.guide)))
  }
)
