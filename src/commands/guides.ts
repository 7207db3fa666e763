/** The guide model behind the judges that ask one: its transport, key, price, budget and stored answers. */
import * as os from "node:os"
import * as path from "node:path"
import { Config, type Config as ConfigType, Effect, Layer, Option } from "effect"
import { Answers, type AnswersFailed } from "../../layers/guide/answers.ts"
import { makeClaude } from "../../layers/guide/claude.ts"
import { Guide } from "../../layers/guide/guide.ts"
import { type Price, prices } from "../../layers/guide/prices.ts"
import type { TrainConfig } from "../config.ts"
import { BadInput } from "./flags.ts"

export type GuideSettings = Pick<
  TrainConfig,
  "budget_usd" | "judge_cache" | "judge_input_price" | "judge_model" | "judge_output_price" | "judge_timeout"
>

export type GuideLayer = Layer.Layer<Guide, AnswersFailed>

export const guideModel = ({ judge_model }: GuideSettings): string => judge_model === "" ? "claude-haiku-4-5" : judge_model

/** Undefined where neither the settings nor the table say it. */
export const guidePrice = (settings: GuideSettings): Price | undefined => {
  const known = prices[guideModel(settings)]
  const [input, output] = [settings.judge_input_price || known?.input, settings.judge_output_price || known?.output]
  return input === undefined || output === undefined ? undefined : { input, output }
}

const cacheFolder = Config.String("XDG_CACHE_HOME").pipe(Config.withDefault(path.join(os.homedir(), ".cache")))

/** Paid answers that all runs share. */
const answersLayer = Effect.fnUntraced(function*({ judge_cache }: GuideSettings) {
  return Answers.layer(judge_cache === "" ? path.join(yield* cacheFolder, "vequinox", "claude-answers.db") : judge_cache)
})

/** What is missing or unknown is said before anything is built. */
export const guideLayer: (settings: GuideSettings) => Effect.Effect<GuideLayer, BadInput> = Effect.fnUntraced(
  function*(settings: GuideSettings) {
    const model = guideModel(settings)
    const price = guidePrice(settings)
    if (price === undefined) {
      return yield* new BadInput({
        message: `The price of ${model} is not known here: give --judge-input-price and --judge-output-price, in USD per million tokens.`
      })
    }
    const apiKey = Option.getOrUndefined(yield* Config.option(Config.Redacted("ANTHROPIC_API_KEY")))
    if (apiKey === undefined) {
      return yield* new BadInput({ message: "--judge claude needs a key: set ANTHROPIC_API_KEY in the environment." })
    }
    const baseUrl = Option.getOrUndefined(yield* Config.option(Config.String("ANTHROPIC_BASE_URL")))
    const transport = makeClaude({ apiKey, baseUrl, deadline: settings.judge_timeout })
    return Guide.layer(transport, { model, price, budgetUsd: settings.budget_usd }).pipe(
      Layer.provide(yield* answersLayer(settings))
    )
  },
  Effect.catchTag("ConfigError", (error: ConfigType.ConfigError) => Effect.fail(new BadInput({ message: error.message })))
)
