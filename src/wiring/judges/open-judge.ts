/** Opens the judge that the settings name, and says what it may cost. */
import { Effect } from "effect"
import { costOf } from "../../../layers/guide/prices.ts"
import { BadInput } from "../../system/errors.ts"
import type { ProgressStyle } from "../../system/progress.ts"
import { askedModel } from "./guide-model.ts"
import { type Estimate, fetched, type JudgeRow, type JudgeSettings, type Work } from "./judge-row.ts"
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

/** What a guide model may cost, for people, before anything is spent; undefined if it is free. @param why it may be asked so often */
export const costLine = Effect.fnUntraced(function*(guide: JudgeSettings, { calls, use }: Estimate, why: string) {
  if (calls === 0) return undefined
  const { model, price, thinking } = yield* askedModel(guide)
  if (price.input === 0 && price.output === 0) return undefined
  const dollars = calls * costOf(price, use.inputTokens, use.outputTokens + thinking) / 1e9
  return `${model} may be asked ${calls} times ${why}: about $${dollars.toFixed(2)}, of which at most $${guide.budget_usd} will be spent (--budget-usd).`
})

/**
 * The most a judge may cost, for people; undefined if it is free.
 * @param work the most that may be judged
 */
export const forecast = Effect.fnUntraced(function*(settings: JudgeSettings, work: Work) {
  const { asks } = yield* named(settings)
  if (asks === undefined) return undefined
  const { of, ...estimate } = asks(settings, work)
  return yield* costLine(of, estimate, `for up to ${work.pairs} pairs`)
})
