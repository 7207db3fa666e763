/** A whole run in code, with every default but what is given: the path that `vequinox train` goes. */
import { Effect, Exit, type Layer, Scope } from "effect"
import type { ProgressStyle } from "../../system/progress.ts"
import { BadInput } from "../../system/errors.ts"
import { openRun } from "./open-run.ts"
import type { OwnLayers, PlacedLayers, RunServices } from "./own-layers.ts"
import type { Outcomes } from "./run-outcomes.ts"
import { settings, type TrainConfig } from "../settings.ts"

/**
 * Settings under their names (those of TRL, of --config and of config.json), and layers of one's own.
 */
export interface RunOptions extends Partial<Omit<TrainConfig, "judge" | "prompts">>, Omit<OwnLayers, "judge"> {
  /** A judge's name, as --judge takes it, or a layer: pictures are `render_size` pixels a side, by default 224. */
  readonly judge?: string | OwnLayers["judge"]
  /** A file, `embedded`, or texts: one in five is held out, by its hash, and never trained on. */
  readonly prompts?: string | ReadonlyArray<string> | undefined
  /** Folder of a run to go on with. What was given in code is given again; other settings are the run's own. */
  readonly resume?: string | undefined
  /** YAML file of settings, which those here overrule. */
  readonly config?: string | undefined
  /** What is written to stderr while it goes on. Default `none`. */
  readonly progress?: ProgressStyle | undefined
}

/** What layers of one's own may fail with. */
type ErrorOf<Given> = Given extends Layer.Layer<any, infer E, any> ? E
  : Given extends (...args: never) => Layer.Layer<any, infer E, any> ? E
  : never
/** What they need beside what a run has. */
type NeedsOf<Given> = Exclude<
  Given extends Layer.Layer<any, any, infer R> ? R
    : Given extends (...args: never) => Layer.Layer<any, any, infer R> ? R
    : never,
  RunServices
>
type Stage = keyof OwnLayers
type Given<Options> = Options extends object ? Options[Extract<keyof Options, Stage>] : never

/** A misspelt name is refused where it is written. */
type Only<Options> = { readonly [Name in Exclude<keyof Options, keyof RunOptions>]: never }

/** What a run may fail with, apart from layers of one's own. Each has a message of one sentence for people. */
export type RunError = Effect.Error<ReturnType<typeof openRun>> | (Effect.Success<ReturnType<typeof openRun>> extends Outcomes<infer E> ? E : never)

export interface Run<E> extends Outcomes<E> {
  /** The run folder, absolute. */
  readonly folder: string
  /** It had been finished before, so nothing is left of `outcomes`. */
  readonly finished: boolean
}

const stages = ["judge", "sampler", "renderer", "buffer", "optimizer"] as const satisfies ReadonlyArray<Stage>

/** Settings apart from what no setting says. */
const requestOf = Effect.fnUntraced(function*(options: RunOptions) {
  const { config, progress = "none", prompts, resume, ...rest } = options
  const layers: Record<string, unknown> = {}
  const given: Record<string, unknown> = typeof prompts === "string" ? { prompts } : {}
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined) continue
    if ((stages as ReadonlyArray<string>).includes(name) && typeof value !== "string") layers[name] = value
    else if (name in settings) given[name] = value
    else return yield* new BadInput({ message: `There is no setting "${name}": run takes those of config.json and ${stages.join(", ")}.` })
  }
  return { file: config, given, resume, layers: layers as PlacedLayers, prompts: typeof prompts === "string" ? undefined : prompts, style: progress }
})

const toStderr = (line: string) => Effect.sync(() => void process.stderr.write(`${line}\n`))

/**
 * Opens a run: its folder is this process's, config.json is written and every stage is ready, to the end of the scope. It goes
 * on while its `outcomes` are pulled, or when its `summary` is asked for, and leaves what `vequinox train` leaves: checkpoints,
 * adapter, summary.json, report.html.
 *
 * Fails with what cannot be used (`BadInput`, `ConfigInvalid`, `FileProblem`, `CheckpointInvalid`, errors of the Hub), with
 * what a machine lacks (`NotEnoughMemory`, `DeviceUnavailable`), or as a stage does, while it is opened or on the way.
 */
export const run = <const Options extends RunOptions>(
  options: Options & Only<Options>
): Effect.Effect<Run<RunError | ErrorOf<Given<Options>>>, RunError | ErrorOf<Given<Options>>, Scope.Scope | NeedsOf<Given<Options>>> =>
  Effect.gen(function*() {
    const request = yield* requestOf(options)
    const scope = yield* Scope.fork(yield* Effect.scope)
    // What failed to open holds nothing, even where the caller's scope goes on.
    return yield* openRun(request, request.style === "none" ? () => Effect.void : toStderr).pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  })
