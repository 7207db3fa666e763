/**
 * `vequinox train`: the main job. Takes settings from defaults, a YAML file and flags, does one run, and prints its
 * result.
 */
import { Effect, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { Address } from "../../layers/cluster/cluster.ts"
import { betterThanStart } from "../evaluation/worse-than-start.ts"
import { BadInput } from "../system/errors.ts"
import { progressStyle } from "../system/progress.ts"
import { int } from "../system/ranges.ts"
import { addressFlags } from "./join.ts"
import { results, say } from "./run-told.ts"
import * as Flags from "../wiring/flags.ts"
import { openRun } from "../wiring/run/open-run.ts"
import type { PlacedLayers } from "../wiring/run/own-layers.ts"
import type { RunRequest } from "../wiring/run/run-parts.ts"
import { givenSettings, numberFlag, settingFlags } from "../wiring/setting-flags.ts"
import { resolveConfig, type SettingName, settings } from "../wiring/settings.ts"

/** Training stopped because it diverged, and the result is no better than its start. The message says what to do. */
class Diverged extends Schema.TaggedError<Diverged>()("Diverged", {
  message: Schema.String
}) {}

/** @param opened gets the run's folder before anything is drawn */
const trainRun = Effect.fnUntraced(function*<E, R>(request: RunRequest, json: boolean, opened: (folder: string) => Effect.Effect<void, E, R>) {
  const run = yield* openRun(request, say)
  if (run.finished) return
  yield* opened(run.folder)
  const { onStep, onSummary } = results(json)
  yield* Stream.runForEach(run.outcomes, onStep)
  const summary = yield* run.summary
  yield* onSummary(summary, run.folder)
  if (summary.stopped !== undefined && !betterThanStart(summary)) return yield* new Diverged({ message: summary.stopped })
})

/** Begins the run or goes on with it, and is its first runner. */
const trainSpread = Effect.fnUntraced(function*(request: RunRequest, address: Address, json: boolean, studio: boolean) {
  const refused = studio
    ? "--studio is a page of one process: leave it out where the work is spread."
    : Object.keys(request.layers).length > 0
    ? "A run with layers of its own is of one process: leave --spread out."
    : undefined
  if (refused !== undefined) return yield* new BadInput({ message: refused })
  const { beginSpread } = yield* Effect.promise(() => import("../wiring/spread/begin.ts"))
  const { joinRun } = yield* Effect.promise(() => import("../wiring/spread/join.ts"))
  const folder = yield* beginSpread(request)
  yield* joinRun({ folder, address, style: request.style, say, ...results(json) })
})

/** @param layers an experiment's own layers, in a run that is otherwise the usual one */
export const trainCommand = (layers: PlacedLayers) => Command.make("train", {
  ...settingFlags(Object.keys(settings) as Array<SettingName>),
  config: Flag.String("config").pipe(Flag.withDescription("YAML file of settings, TRL's names"), Flag.optional),
  resume: Flag.String("resume").pipe(
    Flag.withDescription("run folder, or s3:// address of its copy, which is downloaded to --out: continue that run, however it was stopped; the adapter is the same as without the stop"),
    Flag.optional
  ),
  studio: Flag.Boolean("studio").pipe(
    Flag.withDescription("watch and steer the run on a page, which lives as long as the run"),
    Flag.withDefault(false)
  ),
  studioPort: numberFlag("studio-port", int(0, 65_535)).pipe(Flag.withDescription("port of that page; 0 takes a free one"), Flag.withDefault(0)),
  spread: Flag.Boolean("spread").pipe(
    Flag.withDescription("begin a run that other processes and machines work on too (vequinox join); needs --store postgres"),
    Flag.withDefault(false)
  ),
  ...addressFlags,
  json: Flags.json
}, Effect.fn(function*({ config, host, json, port, resume, spread, studio, studioPort, ...flags }) {
  const request: RunRequest = {
    file: Option.getOrUndefined(config),
    given: givenSettings(flags),
    resume: Option.getOrUndefined(resume),
    layers,
    style: progressStyle(json),
    watched: studio
  }
  if (spread) return yield* trainSpread(request, { host, port }, json, studio)
  if (!studio) return yield* trainRun(request, json, () => Effect.void)
  // Loaded here alone: a run without a page need not wait for its server's modules.
  const { steered } = yield* Effect.promise(() => import("../wiring/studio/steered.ts"))
  yield* steered(yield* resolveConfig(undefined, {}), studioPort, (open) =>
    trainRun(request, json, (folder) => Effect.flatMap(open(folder), (url) => say(`Studio: ${url}`))))
}, Effect.scoped)).pipe(Command.withDescription("Draw, judge, update, again: online DPO, or another objective (--loss-type). Settings take TRL's names, with hyphens or underscores"))

export const train = trainCommand({})
