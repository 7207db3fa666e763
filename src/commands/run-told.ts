/** What `train` and `join` tell of a run: results on stdout, everything else on stderr. */
import * as path from "node:path"
import { Console, Effect } from "effect"
import type { StepReport } from "../domain.ts"
import { resultLines } from "../run/result-lines.ts"
import type { Summary } from "../run/summary.ts"
import { Listener } from "../system/progress.ts"

/** On stderr, and where a studio listens. */
export const say = (line: string) =>
  Effect.flatMap(Listener, (heard) => Effect.andThen(heard(line), Effect.sync(() => void process.stderr.write(`${line}\n`))))

export const results = (json: boolean) => ({
  onStep: ({ metrics, step }: StepReport) => json ? Console.log(JSON.stringify({ step, ...metrics })) : Effect.void,
  onSummary: (summary: Summary, run: string) =>
    Console.log(json ? JSON.stringify(summary) : [...resultLines(summary), `Look: ${path.join(run, "report.html")}`].join("\n"))
})
