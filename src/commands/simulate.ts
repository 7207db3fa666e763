/** `vequinox simulate`: what a run would take on more samplers, with a faster judge, with fresher drawings. */
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { counted, duration, number, percent } from "../report/words.ts"
import { BadInput } from "../system/errors.ts"
import { above, int, real } from "../system/ranges.ts"
import * as Flags from "../wiring/flags.ts"
import { numberFlag } from "../wiring/setting-flags.ts"
import { measuredCosts, type MeasuredCosts } from "../wiring/simulation/costs.ts"
import { type Machines, simulate as simulated, type Simulated } from "../wiring/simulation/simulate.ts"

const list = (name: string, what: string, usual: string) =>
  Flag.String(name).pipe(Flag.withDescription(`${what}, with commas`), Flag.withMetavar("numbers"), Flag.withDefault(usual))

/** The numbers of a list, each of them whole and from `least` to `most`. */
const readList = (name: string, text: string, least: number, most: number) => {
  const all = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)))
  return all.every((n) => Number.isSafeInteger(n) && n >= least && n <= most)
    ? Effect.succeed([...new Set(all)])
    : Effect.fail(new BadInput({ message: `--${name} is ${text}: give whole numbers from ${least} to ${most} with commas between them.` }))
}

/** Drawings of a step that are simulated one by one. */
const mostDrawings = 20_000

export const simulate = Command.make("simulate", {
  run: Argument.String("run").pipe(Argument.withDescription("folder of a run of 10 steps or more, whose stages' seconds are taken; best of one with --max-staleness 0 and --threads 1")),
  samplers: list("samplers", "machines that sample; each draws its share of a batch", "1,2,4,8"),
  maxStaleness: list("max-staleness", "versions that a drawing may be behind", "0,1,2"),
  promptsPerStep: Flags.count("prompts-per-step", 1e6).pipe(Flag.withDescription("prompts a step (default: the run's)"), Flag.optional),
  sampleFixed: numberFlag("sample-fixed", real(0, 1)).pipe(Flag.withDescription("share of a batch's sampling seconds that fewer drawings would not save"), Flag.withDefault(0)),
  judgments: Flags.count("judgments", 1e6).pipe(Flag.withDescription("questions that a judge elsewhere answers at the same time, in the run and here"), Flag.withDefault(8)),
  judgmentsPerMinute: numberFlag("judgments-per-minute", above(0, 1e9)).pipe(Flag.withDescription("questions a minute that the judge takes (default: no limit)"), Flag.optional),
  judgmentSeconds: numberFlag("judgment-seconds", above(0, 3600)).pipe(Flag.withDescription("seconds of an answer from a judge elsewhere, in place of the run's judge"), Flag.optional),
  judgmentUsd: numberFlag("judgment-usd", real(0, 1000)).pipe(Flag.withDescription("US dollars of an answer (default: the run's)"), Flag.optional),
  cores: numberFlag("cores", int(1, 4096)).pipe(Flag.withDescription("all of it on one machine with so many cores, each piece of work on one of them (default: machines of their own)"), Flag.optional),
  samplerUsdHour: numberFlag("sampler-usd-hour", real(0, 1e6)).pipe(Flag.withDescription("US dollars an hour of a sampler"), Flag.withDefault(0)),
  trainerUsdHour: numberFlag("trainer-usd-hour", real(0, 1e6)).pipe(Flag.withDescription("US dollars an hour of the trainer, or of the one machine"), Flag.withDefault(0)),
  pairs: list("pairs", "judged pairs whose time and price are told", "1000000,1000000000"),
  json: Flags.json
}, Effect.fn(function*(o) {
  const samplers = yield* readList("samplers", o.samplers, 1, 4096)
  const staleness = yield* readList("max-staleness", o.maxStaleness, 0, 64)
  const pairs = yield* readList("pairs", o.pairs, 1, Number.MAX_SAFE_INTEGER)
  const run = yield* measuredCosts(o.run, o.judgments)
  const settings = { ...run.settings, ...Option.match(o.promptsPerStep, { onNone: () => ({}), onSome: (promptsPerStep) => ({ promptsPerStep, promptsPerBatch: promptsPerStep }) }) }
  if (settings.promptsPerStep * settings.k > mostDrawings) {
    return yield* new BadInput({ message: `A step of ${settings.promptsPerStep} prompts with ${settings.k} drawings each is too large to simulate: at most ${mostDrawings} drawings.` })
  }
  const elsewhere = Option.isSome(o.judgmentSeconds)
  const batch = Math.min(settings.promptsPerStep, settings.promptsPerBatch) * settings.k
  const costs = {
    ...run.costs,
    sample: { fixed: o.sampleFixed * run.costs.sample.each * batch, each: (1 - o.sampleFixed) * run.costs.sample.each },
    judge: Option.getOrElse(o.judgmentSeconds, () => run.costs.judge)
  }
  const usd = Option.getOrElse(o.judgmentUsd, () => run.usdAJudgment)
  const judgeLocal = run.judgeLocal && !elsewhere
  const rows = yield* Effect.forEach(staleness.flatMap((maxStaleness) => samplers.map((count) => ({ maxStaleness, count }))), ({ count, maxStaleness }) => {
    const machines: Machines = {
      samplers: count,
      judgments: judgeLocal ? 1 : o.judgments,
      judgmentsPerMinute: Option.getOrElse(o.judgmentsPerMinute, () => Infinity),
      cores: Option.getOrUndefined(o.cores),
      judgeLocal
    }
    const usdAnHour = o.trainerUsdHour + (Option.isSome(o.cores) ? 0 : count * o.samplerUsdHour)
    return Effect.map(simulated(costs, machines, { ...settings, maxStaleness }), (result) => ({
      samplers: count,
      maxStaleness,
      ...result,
      pairs: pairs.map((n) => {
        const seconds = n / result.judgmentsAStep * result.secondsAStep
        return { pairs: n, seconds, usd: n * usd + seconds / 3600 * usdAnHour }
      })
    }))
  })
  yield* Console.log(o.json ? JSON.stringify({ costs, judgeLocal, usdAJudgment: usd, overlapped: run.overlapped, rows }) : told(run, costs, rows).join("\n"))
})).pipe(Command.withDescription("Say what a run would take on other machines: the real stream with the seconds that the run's stages took, on a clock of its own"))

type Row = Simulated & { readonly samplers: number; readonly maxStaleness: number; readonly pairs: ReadonlyArray<{ readonly pairs: number; readonly seconds: number; readonly usd: number }> }

const days = (seconds: number): string => (seconds < 2 * 86_400 ? duration(seconds) : seconds < 1000 * 86_400 ? `${number(seconds / 86_400)} days` : `${number(seconds / 31_557_600)} years`)
const money = (usd: number): string => (usd === 0 ? "$0" : usd < 100 ? `$${usd.toFixed(2)}` : `$${Math.round(usd).toLocaleString("en-US")}`)

const told = (run: MeasuredCosts, costs: MeasuredCosts["costs"], rows: ReadonlyArray<Row>): ReadonlyArray<string> => {
  const head = ["samplers", "staleness", "s a step", "judged/min", "busiest", "sample", "render", "judge", "train", ...(rows[0]!.cores === undefined ? [] : ["cores"]), ...rows[0]!.pairs.map(({ pairs }) => `${number(pairs)} pairs`)]
  const cells = rows.map((row) => [
    String(row.samplers),
    String(row.maxStaleness),
    number(row.secondsAStep),
    number(60 * row.judgmentsAStep / row.secondsAStep),
    row.bottleneck,
    ...(["sample", "render", "judge", "train"] as const).map((stage) => percent(row.busy[stage])),
    ...(row.cores === undefined ? [] : [percent(row.cores)]),
    ...row.pairs.map(({ seconds, usd }) => `${days(seconds)}, ${money(usd)}`)
  ])
  const widths = head.map((name, n) => Math.max(name.length, ...cells.map((row) => row[n]!.length)))
  const line = (row: ReadonlyArray<string>) => row.map((cell, n) => cell.padStart(widths[n]!)).join("  ")
  const milliseconds = (seconds: number) => `${number(1000 * seconds)} ms`
  return [
    `Of ${counted(run.steps, "step")} of the run: sampling ${milliseconds(run.costs.sample.each)} a drawing, rendering ${milliseconds(costs.render)}, judging ${milliseconds(costs.judge)} a pair, training ${milliseconds(costs.train)} a lesson.`,
    ...(run.overlapped ? ["Its stages worked at the same time, so these hold waits for cores: a run with --max-staleness 0 measures each alone."] : []),
    "",
    line(head),
    ...cells.map(line),
    "",
    "Shares say how much of the time the machines of a stage work, or would if they had the cores alone. A rate limit counts as the judge's work."
  ]
}
