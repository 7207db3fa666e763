/** The report of a run that was stopped or is still running, from what its folder holds so far. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { readReports, type RunRecords } from "../../../layers/store/run-records.ts"
import { lossTypeIn } from "../../objectives/objectives.ts"
import { FileProblem, readText } from "../../system/files.ts"
import { renderReport } from "../../report/report.ts"
import type { FolderHealth } from "../../run/health.ts"
import { faultsOf, total } from "../../run/training-run.ts"
import { makeAlarms } from "../../evaluation/trust.ts"
import { BadInput } from "../../system/errors.ts"
import { commandOf } from "./run-report.ts"

const decodeConfig = Schema.decodeEffect(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

/** Fails with `BadInput` if the run has finished or has no step yet, with `FileProblem` if it cannot be read. */
export const unfinishedReport = Effect.fn("unfinishedReport")(function*(
  { costUsd, finished, path: run }: FolderHealth & RunRecords & { readonly costUsd: number }
) {
  if (finished) return yield* new BadInput({ message: `${run} has finished: its report is ${path.join(run, "report.html")}.` })
  const database = path.join(run, "run.db")
  const reports = fs.existsSync(database) ? yield* readReports(database) : []
  if (reports.length === 0) return yield* new BadInput({ message: `${run} has made no step yet, so there is nothing to report.` })
  const file = path.join(run, "config.json")
  const config = yield* readText(file).pipe(
    Effect.flatMap(decodeConfig),
    Effect.mapError((error) => error._tag === "FileProblem" ? error : new FileProblem({ message: `${file} is not JSON: restore it from a copy.` }))
  )
  return renderReport({
    title: "vequinox training run",
    command: commandOf(config),
    summary: {
      steps: reports.length,
      objective: lossTypeIn(config["loss_type"]) ?? "sigmoid",
      pairs: total(reports, "pairs/trained"),
      advantages: total(reports, "advantages/trained"),
      seconds: total(reports, "seconds/step"),
      costUsd,
      faults: faultsOf(reports),
      alarms: reports.flatMap(makeAlarms())
    },
    metrics: reports.map(({ metrics, policyVersion, step }) => ({ step, policyVersion, ...metrics })),
    examples: [],
    config,
    finished: false
  })
})
