/** A whole run in code, with a default for everything that is not given: the same path as `vequinox train`. */
import { Effect, Exit, type Layer, Scope } from "effect"
import type { ProgressStyle } from "../../system/progress.ts"
import { BadInput } from "../../system/errors.ts"
import { openRun } from "./open-run.ts"
import type { OwnLayers, PlacedLayers, RunServices } from "./own-layers.ts"
import type { Outcomes } from "./run-outcomes.ts"
import { settings, type TrainConfig } from "../settings.ts"

/** Settings under their names (as in TRL, --config and config.json), and the caller's own layers. */
export interface RunOptions extends Partial<Omit<TrainConfig, "judge" | "optimizer" | "prompts">>, Omit<OwnLayers, "judge" | "optimizer"> {
  /**
   * A judge's name, as --judge takes it, or a layer. Pictures for a layer are `render_size` pixels a side, by default
   * 224.
   */
  readonly judge?: string | OwnLayers["judge"]
  /** What trains, as --optimizer takes it, or a layer. */
  readonly optimizer?: TrainConfig["optimizer"] | OwnLayers["optimizer"]
  /** A file, `embedded`, or texts. One text in five, chosen by its hash, is held out and never trained on. */
  readonly prompts?: string | ReadonlyArray<string> | undefined
  /** Folder of a run to continue. What was given in code must be given again; other settings are the run's own. */
  readonly resume?: string | undefined
  /** YAML file of settings; those given here overrule it. */
  readonly config?: string | undefined
  /** What is written to stderr while it runs. Default `none`. */
  readonly progress?: ProgressStyle | undefined
}

/** Errors of the caller's own layers. */
type ErrorOf<Given> = Given extends Layer.Layer<any, infer E, any> ? E
  : Given extends (...args: never) => Layer.Layer<any, infer E, any> ? E
  : never
/** What they need beyond what a run provides. */
type NeedsOf<Given> = Exclude<
  Given extends Layer.Layer<any, any, infer R> ? R
    : Given extends (...args: never) => Layer.Layer<any, any, infer R> ? R
    : never,
  RunServices
>
type Stage = keyof OwnLayers
type Given<Options> = Options extends object ? Options[Extract<keyof Options, Stage>] : never

/** Refuses a misspelt name at compile time. */
type Only<Options> = { readonly [Name in Exclude<keyof Options, keyof RunOptions>]: never }

/** Errors of a run, without those of the caller's own layers. Each has a message of one sentence for people. */
export type RunError = Effect.Error<ReturnType<typeof openRun>> | (Effect.Success<ReturnType<typeof openRun>> extends Outcomes<infer E> ? E : never)

export interface Run<E> extends Outcomes<E> {
  /** The run folder, absolute. */
  readonly folder: string
  /** The run was already finished, so `outcomes` is empty. */
  readonly finished: boolean
}

const stages = ["judge", "sampler", "renderer", "buffer", "optimizer"] as const satisfies ReadonlyArray<Stage>

/** Parts the settings from what no setting can express. */
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
 * Opens a run: until the scope ends, its folder belongs to this process, config.json is written and every stage is
 * ready. It runs while its `outcomes` are pulled, or when its `summary` is asked for. It leaves the same files as
 * `vequinox train`: checkpoints, adapter, summary.json, report.html.
 *
 * Fails with unusable input (`BadInput`, `ConfigInvalid`, `FileProblem`, `CheckpointInvalid`, errors of the Hub), with
 * what the machine lacks (`NotEnoughMemory`, `DeviceUnavailable`), or with a stage's error, while the run is opened or
 * later.
 */
export const run = <const Options extends RunOptions>(
  options: Options & Only<Options>
): Effect.Effect<Run<RunError | ErrorOf<Given<Options>>>, RunError | ErrorOf<Given<Options>>, Scope.Scope | NeedsOf<Given<Options>>> =>
  Effect.gen(function*() {
    const request = yield* requestOf(options)
    const scope = yield* Scope.fork(yield* Effect.scope)
    // A run that failed to open holds nothing, even if the caller's scope lives on.
    return yield* openRun(request, request.style === "none" ? () => Effect.void : toStderr).pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
  })
