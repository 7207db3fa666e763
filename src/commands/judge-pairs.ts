/**
 * `vequinox judge-pairs`: judges many pairs offline, from a file or a run, and compares them with their earlier labels.
 */
import * as os from "node:os"
import { Cache, Console, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { readJudgedPairs } from "../../layers/store/run-pairs.ts"
import { resolveConfig } from "../wiring/settings.ts"
import { type JudgedRow, judgedRow, openResults, type PairRow, readPairRows } from "../evaluation/pair-rows.ts"
import { decideRenderings } from "../lessons/decide.ts"
import { makeProgress, progressStyle } from "../system/progress.ts"
import { promptOf } from "../prompts.ts"
import { Judge } from "../stages/Judge.ts"
import { BadInput } from "../system/errors.ts"
import { renderFor } from "../stages/render-for.ts"
import { cohenKappa, percent, wilson } from "../evaluation/statistics.ts"
import * as Flags from "../wiring/flags.ts"
import { judgeFlags } from "../wiring/judges/judge-flags.ts"
import { openJudging } from "../wiring/judges/judging.ts"
import { forecast } from "../wiring/judges/open-judge.ts"
import { givenSettings } from "../wiring/setting-flags.ts"

/** Most bytes that the pictures of pairs under way may take: a batch keeps many waiting. */
const pictureBytes = Math.min(2e9, os.totalmem() / 4)

/** How many drawings keep their pixels for the next pairs: candidates of one prompt meet often. */
const remembered = 64

export const judgePairs = Command.make("judge-pairs", {
  pairs: Flag.String("pairs").pipe(
    Flag.withDescription("JSONL rows of {prompt, a, b} with paths of SVG files, relative to that file, or {prompt, a_svg, b_svg} with their texts"),
    Flag.optional
  ),
  run: Flag.String("run").pipe(Flag.withDescription("run folder; its judged pairs are judged again"), Flag.optional),
  out: Flag.String("out").pipe(
    Flag.withDescription("JSONL file for the verdicts; rows already in it are not judged again (default: stdout)"),
    Flag.optional
  ),
  ...judgeFlags,
  json: Flags.json
}, Effect.fn(function*({ json, out, pairs: file, run, ...flags }) {
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  const { size, stages } = yield* openJudging(settings, progressStyle(json))
  const pairs = yield* pairsOf({ pairs: file, run })
  yield* Effect.gen(function*() {
    const judge = yield* Judge
    const results = Option.isSome(out)
      ? yield* openResults(out.value, pairs, judge.identity)
      : { done: [], append: (row: JudgedRow) => Console.log(JSON.stringify(row)) }
    const rows: Array<JudgedRow> = [...results.done]
    const left = pairs.slice(rows.length)
    let { costUsd: usd, failed } = summaryOf(rows)
    const progress = yield* makeProgress(progressStyle(json), "pair", pairs.length, rows.length)
    const prompts = new Set(left.map(({ prompt }) => prompt)).size
    const drawings = new Set(left.flatMap(({ prompt, svgs }) => svgs.map((svg) => `${prompt} ${svg}`))).size
    const cost = yield* forecast(settings, { prompts, k: Math.ceil(drawings / Math.max(1, prompts)), pairs: left.length })
    if (rows.length > 0) yield* progress.note(`${rows.length} of ${pairs.length} pairs are already judged.`)
    if (cost !== undefined && left.length > 0) yield* progress.note(cost)
    const pictures = yield* Cache.make({
      capacity: remembered,
      lookup: ({ prompt, svg }: { readonly prompt: string; readonly svg: string }) => renderFor(promptOf(prompt), svg)
    })
    const ask = Effect.fnUntraced(function*(pair: PairRow) {
      const { prompt, svgs } = pair
      const [a, b] = yield* Effect.forEach(svgs, (svg) => Cache.get(pictures, { prompt, svg }), { concurrency: 2 })
      return judgedRow(pair, yield* decideRenderings(promptOf(prompt), a!, b!), judge.identity)
    })
    // If the judge stops, the work ends in order: what was decided before is written.
    yield* Stream.fromIterable(left).pipe(
      Stream.mapEffect((pair) => Effect.result(ask(pair)), {
        concurrency: Math.max(1, Math.min(judge.concurrency, Math.floor(pictureBytes / (2 * 4 * size * size))))
      }),
      Stream.mapEffect((result) => Effect.fromResult(result)),
      Stream.runForEach((row) =>
        Effect.gen(function*() {
          yield* results.append(row)
          rows.push(row)
          if (row.verdict === "failed") failed++
          usd += row.costUsd
          yield* progress.tick(rows.length, `failed ${failed}  ${dollars(usd)}`)
        })
      ),
      Effect.onError(() =>
        progress.note(
          `Stopped after ${rows.length} of ${pairs.length} pairs; ${
            Option.isSome(out) ? "the same command continues after them." : "paid answers are kept, and the same command reads them."
          }${settings.judge_batch ? " Batches continue without us." : ""}`
        )
      )
    )
    yield* progress.end
    const summary = summaryOf(rows)
    const text = json ? JSON.stringify(summary) : sentence(summary, judge.name)
    yield* json && Option.isSome(out) ? Console.log(text) : Console.error(text)
  }).pipe(
    Effect.scoped,
    Effect.provide(stages)
  )
})).pipe(Command.withDescription("Judge many pairs offline, or a run's pairs again, and compare with the earlier labels"))

const pairsOf = Effect.fnUntraced(function*({ pairs, run }: Record<"pairs" | "run", Option.Option<string>>) {
  if (Option.isSome(pairs) === Option.isSome(run)) {
    return yield* new BadInput({ message: "Say what to judge: give either --pairs FILE.jsonl or --run RUN." })
  }
  if (Option.isSome(pairs)) return yield* readPairRows(pairs.value)
  const found = yield* readJudgedPairs(Option.getOrThrow(run))
  return found.map(({ a_index, a_svg, b_index, b_svg, by, prompt, step, verdict }): PairRow => ({
    prompt,
    a: a_index,
    b: b_index,
    step,
    svgs: [a_svg, b_svg],
    earlier: { by, verdict }
  }))
})

const labels: ReadonlyArray<string> = ["A", "B", "tie"]

const summaryOf = (rows: ReadonlyArray<JudgedRow>) => {
  const count = (verdict: JudgedRow["verdict"]) => rows.filter((row) => row.verdict === verdict).length
  // Only pairs with an answer on both sides count: a failure is no label.
  const both = rows.flatMap(({ earlier, verdict }) =>
    earlier !== undefined && labels.includes(earlier.verdict) && labels.includes(verdict) ? [[earlier.verdict, verdict] as const] : []
  )
  const kappa = cohenKappa(both)
  return {
    pairs: rows.length,
    A: count("A"),
    B: count("B"),
    ties: count("tie"),
    invalid: count("invalid"),
    failed: count("failed"),
    costUsd: rows.reduce((sum, { costUsd }) => sum + costUsd, 0),
    agreement: both.length === 0 ? null : { ...wilson(both.filter(([a, b]) => a === b).length, both.length), n: both.length },
    kappa: Number.isNaN(kappa) ? null : kappa
  }
}

const dollars = (usd: number) => `$${usd.toFixed(4)}`
const sentence = ({ agreement, costUsd, failed, kappa, pairs, ties }: ReturnType<typeof summaryOf>, judge: string): string =>
  `${pairs} pairs judged by ${judge}: ${ties} ties, ${failed} failed, ${dollars(costUsd)}` + (agreement === null ? "." :
    `; agrees with the earlier labels on ${percent(agreement.value)} of ${agreement.n} ` +
    `[${percent(agreement.lower)}, ${percent(agreement.upper)}], Cohen's kappa ${kappa === null ? "undefined" : kappa.toFixed(2)}.`)
