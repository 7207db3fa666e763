/** `vequinox studio`: a page on runs, finished or under way: curves, drawings, verdicts, votes, a playground. */
import { Console, Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { holdsRun } from "../run/folder.ts"
import { findRuns } from "../studio/runs.ts"
import { BadInput } from "../system/errors.ts"
import { progressStyle } from "../system/progress.ts"
import { int } from "../system/ranges.ts"
import * as Flags from "../wiring/flags.ts"
import { judgeFlags } from "../wiring/judges/judge-flags.ts"
import { openJudge } from "../wiring/judges/open-judge.ts"
import { givenSettings, numberFlag } from "../wiring/setting-flags.ts"
import { resolveConfig } from "../wiring/settings.ts"
import { openStudio } from "../wiring/studio/open-studio.ts"

export const studio = Command.make("studio", {
  folder: Argument.String("runs").pipe(Argument.withDescription("run folder, or a folder of run folders"), Argument.withDefault("runs")),
  port: numberFlag("port", int(0, 65_535)).pipe(Flag.withDescription("port to listen on; 0 takes a free one"), Flag.withDefault(0)),
  ...judgeFlags,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}, Effect.fn(function*({ device, folder, json, port, threads, ...flags }) {
  const usual = yield* resolveConfig(undefined, {})
  const settings = yield* resolveConfig(undefined, givenSettings(flags))
  if (settings.judge === "human") {
    return yield* new BadInput({ message: "People vote on the studio's own page, so --judge takes another judge: it is asked in the playground." })
  }
  const runs = yield* findRuns(folder).list
  if (runs.length === 0 && !holdsRun(folder)) {
    return yield* new BadInput({ message: `${folder} holds no run: give a run folder, or a folder of run folders.` })
  }
  yield* openJudge(settings, progressStyle(json)) // what it lacks is said now
  const url = yield* openStudio({ folder, port, judges: new Map([[usual.judge, usual], [settings.judge, settings]]), device, threads })
  yield* json ? Console.log(JSON.stringify({ url })) : Console.log(`Studio of ${folder}: ${url}\nCtrl-C stops it.`)
  return yield* Effect.never
}, Effect.scoped)).pipe(Command.withDescription("Look at runs on a page: curves, drawings, verdicts, votes, a playground"))
