/** Opens the judge that the settings name, and says what it may cost. */
import { Effect } from "effect"
import { costOf } from "../../../layers/guide/prices.ts"
import { BadInput } from "../../system/errors.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { askedModel } from "./guide-model.ts"
import { fetched, type JudgeRow, type JudgeSettings, type Work } from "./judge-row.ts"
import { judges } from "./judges.ts"

const named = ({ judge }: JudgeSettings): Effect.Effect<JudgeRow, BadInput> =>
  Object.hasOwn(judges, judge)
    ? Effect.succeed(judges[judge]!)
    : Effect.fail(new BadInput({ message: `There is no judge "${judge}": --judge is one of ${Object.keys(judges).join(", ")}.` }))

/**
 * The judge that the settings name, and its picture size in pixels of a side: from the settings, or else the size it
 * judges best at. Fails with what is missing or unknown before anything is fetched or built.
 */
export const openJudge = Effect.fn("openJudge")(function*(settings: JudgeSettings, style: ProgressStyle) {
  const judge = yield* named(settings)
  yield* judge.layer(settings)
  const own = yield* fetched(judge, settings, style)
  return {
    layer: yield* judge.layer(own),
    size: settings.render_size > 0 ? settings.render_size : yield* judge.size(own)
  }
})

/**
 * The most a run may cost, for people, before anything is spent; undefined if the judge is free.
 * @param work the most that may be judged
 */
export const forecast = Effect.fnUntraced(function*(settings: JudgeSettings, work: Work) {
  const { asks } = yield* named(settings)
  if (asks === undefined) return undefined
  const { calls, of, use } = asks(settings, work)
  const { model, price, thinking } = yield* askedModel(of)
  if (price.input === 0 && price.output === 0) return undefined
  const dollars = calls * costOf(price, use.inputTokens, use.outputTokens + thinking) / 1e9
  return `${model} may be asked ${calls} times for up to ${work.pairs} pairs: about $${dollars.toFixed(2)}, ` +
    `of which at most $${settings.budget_usd} will be spent (--budget-usd).`
})
