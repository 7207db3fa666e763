/** Writes a run's results into report.html. */
import { Effect } from "effect"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import type { Prompt } from "../../domain.ts"
import type { Drawn } from "../../evaluation/drawings.ts"
import { isRight } from "../../evaluation/worth.ts"
import { writeFile } from "../../system/files.ts"
import { type DrawingView, renderReport } from "../../report/report.ts"
import type { RunFolder } from "../../run/folder.ts"
import { renderFor } from "../../stages/render-for.ts"
import { lossTypeIn, lossTypeText } from "../../objectives/objectives.ts"
import { encodePng } from "../../drawing/png.ts"
import type { RunResult } from "../../run/training-run.ts"

/** Pixels of a picture's side in the report; the judge saw smaller ones. */
const size = 160

/** Examples in the grid: enough to judge by eye, few enough for a page that opens quickly. */
const shown = 96

const view = Effect.fnUntraced(function*(prompt: Prompt, drawn: Drawn, scorer: string | undefined) {
  const { outcome, scores, svg } = drawn
  const rendering = yield* renderFor(prompt, svg)
  const score = scorer === undefined ? undefined : scores.get(scorer)
  const right = isRight(prompt, drawn)
  if (rendering._tag !== "Rendered") return { png: undefined, outcome, score, right }
  const { height, rgba, width } = rendering.picture
  return { png: encodePng(width, height, rgba), outcome, score, right }
})

/** The command that began the run, as far as one line can show it. */
export const commandOf = (config: Readonly<Record<string, unknown>>): string =>
  `vequinox train --loss-type ${lossTypeText(lossTypeIn(config["loss_type"]) ?? "sigmoid")} --seed ${String(config["seed"])} --steps ${String(config["max_steps"])}`

export const writeReport = Effect.fn("writeReport")(function*(
  run: RunFolder,
  { greedy, reports, summary }: RunResult,
  config: Readonly<Record<string, unknown>>
) {
  const examples = yield* Effect.forEach(greedy.slice(0, shown), ({ after, before, prompt, scorer, winner }) =>
    Effect.gen(function*() {
      const [b, a]: readonly [DrawingView, DrawingView] = [yield* view(prompt, before, scorer), yield* view(prompt, after, scorer)]
      return { prompt: prompt.text, before: b, after: a, verdict: winner ?? "tie" }
    }), { concurrency: 4 }).pipe(Effect.scoped, Effect.provide(rendererResvg.layer({ size })))
  const page = renderReport({
    title: "vequinox training run",
    command: commandOf(config),
    summary,
    metrics: reports.map(({ metrics, policyVersion, step }) => ({ step, policyVersion, ...metrics })),
    examples,
    config,
    finished: true
  })
  yield* writeFile(run.file("report.html"), page)
})
