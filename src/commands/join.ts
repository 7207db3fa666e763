/** `vequinox join`: one more process, on this machine or another, that works on a run whose work is spread. */
import * as path from "node:path"
import { Console, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { StepReport } from "../domain.ts"
import { resultLines } from "../run/result-lines.ts"
import type { Summary } from "../run/summary.ts"
import { Listener, progressStyle } from "../system/progress.ts"
import { int } from "../system/ranges.ts"
import * as Flags from "../wiring/flags.ts"
import { numberFlag } from "../wiring/setting-flags.ts"

/** Where other runners reach this one; `train --spread` has the same. */
export const addressFlags = {
  host: Flag.String("host").pipe(
    Flag.withDescription("spread: the address of this machine by which the other runners reach it, in a network that nobody else uses"),
    Flag.withDefault("127.0.0.1")
  ),
  port: numberFlag("port", int(0, 65_535)).pipe(Flag.withDescription("spread: port for the other runners; 0 takes a free one"), Flag.withDefault(0))
}

/** On stderr, and where a studio listens. */
export const say = (line: string) =>
  Effect.flatMap(Listener, (heard) => Effect.andThen(heard(line), Effect.sync(() => void process.stderr.write(`${line}\n`))))

/** What a run says on stdout: results alone. */
export const told = (json: boolean) => ({
  onStep: ({ metrics, step }: StepReport) => json ? Console.log(JSON.stringify({ step, ...metrics })) : Effect.void,
  onSummary: (summary: Summary, run: string) =>
    Console.log(json ? JSON.stringify(summary) : [...resultLines(summary), `Look: ${path.join(run, "report.html")}`].join("\n"))
})

export const join = Command.make("join", {
  run: Argument.String("run").pipe(Argument.withDescription("folder of a run that was begun with train --spread, as this machine sees it")),
  ...addressFlags,
  json: Flags.json
}, Effect.fn(function*({ host, json, port, run }) {
  const { joinRun } = yield* Effect.promise(() => import("../wiring/spread/join.ts"))
  yield* joinRun({ folder: run, address: { host, port }, style: progressStyle(json), say, ...told(json) })
}, Effect.scoped)).pipe(Command.withDescription("Draw, render and judge for a run that is spread over processes, and train it where the one that did has ended"))
