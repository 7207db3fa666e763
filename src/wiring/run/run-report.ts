/** Writes a run's results into report.html. */
import { Effect } from "effect"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import type { Drawing } from "../../domain.ts"
import { writeFile } from "../../system/files.ts"
import { type DrawingView, renderReport } from "../../report/report.ts"
import type { RunFolder } from "../../run/folder.ts"
import { renderFor } from "../../stages/render-for.ts"
import { encodePng } from "../../drawing/png.ts"
import type { RunResult } from "../../run/training-run.ts"

/** Pixels of a picture's side in the report; the judge saw smaller ones. */
const size = 160

/** Examples in the grid: enough to judge by eye, few enough for a page that opens quickly. */
const shown = 96

const view = Effect.fnUntraced(function*({ candidate, rendering }: Drawing, score: number | undefined) {
  if (rendering._tag !== "Rendered") {
    return { png: undefined, outcome: `${rendering._tag.toLowerCase()}: ${rendering.reason}`, score: undefined }
  }
  const large = yield* renderFor(candidate.prompt, candidate.svg)
  const picture = large._tag === "Rendered" ? large.picture : rendering.picture
  return { png: encodePng(picture.width, picture.height, picture.rgba), outcome: "rendered", score }
})

/** The command that began the run, as far as one line can show it. */
export const commandOf = (config: Readonly<Record<string, unknown>>): string =>
  `vequinox train --loss-type ${String(config["loss_type"] ?? "sigmoid")} --seed ${String(config["seed"])} --steps ${String(config["max_steps"])}`

export const writeReport = Effect.fn("writeReport")(function*(
  run: RunFolder,
  { after, before, comparisons, reports, summary }: RunResult,
  config: Readonly<Record<string, unknown>>
) {
  const examples = yield* Effect.forEach(before.slice(0, shown), (drawing, n) =>
    Effect.gen(function*() {
      const comparison = comparisons[n]
      const [b, a]: readonly [DrawingView, DrawingView] = [
        yield* view(drawing, comparison?.before),
        yield* view(after[n]!, comparison?.after)
      ]
      return { prompt: drawing.candidate.prompt.text, before: b, after: a, verdict: comparison?.winner ?? "tie" }
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
