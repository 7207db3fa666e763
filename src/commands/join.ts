/** `vequinox join`: one more process, on this machine or another, that works on a run whose work is spread. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { progressStyle } from "../system/progress.ts"
import { int } from "../system/ranges.ts"
import * as Flags from "../wiring/flags.ts"
import { numberFlag } from "../wiring/setting-flags.ts"
import { results, say } from "./run-told.ts"

/** Where other runners reach this one; `train --spread` has the same. */
export const addressFlags = {
  host: Flag.String("host").pipe(
    Flag.withDescription("spread: the address of this machine by which the other runners reach it, in a network that nobody else uses"),
    Flag.withDefault("127.0.0.1")
  ),
  port: numberFlag("port", int(0, 65_535)).pipe(Flag.withDescription("spread: port for the other runners; 0 takes a free one"), Flag.withDefault(0))
}

export const join = Command.make("join", {
  run: Argument.String("run").pipe(Argument.withDescription("folder of a run that was begun with train --spread, as this machine sees it")),
  ...addressFlags,
  json: Flags.json
}, Effect.fn(function*({ host, json, port, run }) {
  const { joinRun } = yield* Effect.promise(() => import("../wiring/spread/join.ts"))
  yield* joinRun({ folder: run, address: { host, port }, style: progressStyle(json), say, ...results(json) })
}, Effect.scoped)).pipe(Command.withDescription("Draw, render and judge for a run that is spread over processes, and train it where the one that did has ended"))
