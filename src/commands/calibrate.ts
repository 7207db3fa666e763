/** `vequinox calibrate`: how often a judge is right on pairs with a known winner, and how steady its answers are. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { type Calibration, calibrate as measure } from "../evaluation/calibrate.ts"
import { isGross, knownPairs } from "../evaluation/known-pairs.ts"
import { resolveConfig } from "../wiring/settings.ts"
import { makeProgress, progressStyle } from "../system/progress.ts"
import { type Interval, percent } from "../evaluation/statistics.ts"
import * as Flags from "../wiring/flags.ts"
import { judgeFlags } from "../wiring/judges/judge-flags.ts"
import { openJudging } from "../wiring/judges/judging.ts"
import { givenSettings } from "../wiring/setting-flags.ts"

export const calibrate = Command.make("calibrate", {
  ...judgeFlags,
  pairs: Flags.count("pairs", 1e5).pipe(
    Flag.withDescription("pairs of each error"),
    Flag.withDefault(50)
  ),
  json: Flags.json
}, Effect.fn(function*({ json, pairs: each, ...flags }) {
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  const { stages } = yield* openJudging(settings, progressStyle(json))
  const pairs = knownPairs(each, settings.seed)
  yield* Effect.gen(function*() {
    const progress = yield* makeProgress(progressStyle(json), "pair", pairs.length)
    const result = yield* measure(pairs, settings.seed, (done) => progress.tick(done, ""))
    yield* progress.end
    yield* Console.log(json ? JSON.stringify(result) : table(result))
  }).pipe(
    Effect.scoped,
    Effect.provide(stages)
  )
})).pipe(Command.withDescription("Measure a judge on pairs with a known winner"))

const interval = ({ lower, upper, value }: Interval): string =>
  `${percent(value).padStart(7)}  [${percent(lower)}, ${percent(upper)}]`

const table = (c: Calibration): string => {
  const rows = c.errors.map(({ accuracy, byGate, error, fooled, pairs }) =>
    [
      `${error}${isGross(error) ? " *" : ""}`.padEnd(22),
      String(pairs).padStart(5),
      interval(accuracy).padEnd(29),
      percent(fooled).padStart(8),
      percent(byGate).padStart(8)
    ].join("  ")
  )
  const line = (name: string, value: string) => `${name.padEnd(22)}  ${value}`
  return [
    `Judge ${c.judge} (${c.identity})`,
    "",
    ["error (* gross)".padEnd(22), "pairs", "accuracy, 95 % interval".padEnd(29), "  fooled", " by gate"].join("  "),
    ...rows,
    "",
    line("all errors", interval(c.overall)),
    line("gross errors", interval(c.gross)),
    line("text cheats won", interval(c.textCheats)),
    line("swap consistency", interval(c.swapConsistency)),
    line("repeat flips", interval(c.repeatFlips)),
    line("position bias", `${c.positionBias >= 0 ? "+" : ""}${percent(c.positionBias)}`),
    line("ties, failures", `${percent(c.ties)}, ${percent(c.failed)}`),
    line("latency", `${(1000 * c.latency).toFixed(1)} ms`),
    line("cost of 1000 pairs", `$${c.costPer1000.toFixed(2)}`)
  ].join("\n")
}
