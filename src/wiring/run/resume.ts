/**
 * `--resume RUN`: the settings a run began with are in its config.json and must still hold, or its adapter would be
 * another. These may change: how it is saved, paid for and waited for, and max_steps to a larger value, if the schedule
 * does not depend on it.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import type { Base } from "../../model/adapter.ts"
import { companionFiles, type DecoderCheckpoint, weightsHash } from "../../model/model-folder.ts"
import { freeJobSettings } from "../job-settings.ts"
import { flagOf, resolveConfig, type SettingName, settings, type TrainConfig } from "../settings.ts"
import { explain, FileProblem, readText } from "../../system/files.ts"
import type { Curriculum } from "../../curriculum/file.ts"
import type { PromptSet } from "../../prompts.ts"
import { type RunFolder, runFolder } from "../../run/folder.ts"
import { BadInput } from "../../system/errors.ts"
import { onnxVersion, resvgVersion, version } from "../../system/installed.ts"

/** Settings that no number of the run depends on. */
const free: ReadonlySet<SettingName> = new Set([
  "output_dir",
  "save_steps",
  "save_total_limit",
  "storage_path",
  "budget_usd",
  "judge_timeout",
  "judge_batch",
  "judge_cache",
  "judge_input_price",
  "judge_output_price",
  "judge_free",
  "human_on",
  "human_port",
  "sampler_url",
  "sampler_flavour",
  "sampler_adapters",
  "sampler_adapters_at",
  "sampler_timeout",
  "sampler_tolerance",
  "report_to",
  "log_completions",
  "trackio_url",
  "tinker_url",
  "project",
  "run_name",
  ...freeJobSettings,
  "memory_gb" // the runs that it led to are stored
])

/** Settings that may be paths. */
const paths: ReadonlySet<SettingName> = new Set([
  "model_name_or_path",
  "prompts",
  "curriculum",
  "judge_model",
  "judge_references",
  "judge_terms",
  "checklist_file",
  "judge_cache",
  "job_folder",
  "adapter"
])

const Stored = Schema.Record(Schema.String, Schema.Unknown)

/** A run that has begun, as config.json describes it. */
export interface Begun {
  readonly run: RunFolder
  readonly config: typeof Stored.Type
}

/** @param given a run folder; it may have been moved */
export const openBegun = Effect.fn("openBegun")(function*(given: string) {
  const run = runFolder(path.resolve(given))
  if (!fs.existsSync(run.file("config.json"))) {
    return yield* new BadInput({
      message: `${run.path} holds no run that has begun: check --resume, or start the run with its first command.`
    })
  }
  const config = yield* readText(run.file("config.json")).pipe(
    Effect.flatMap(Schema.decodeEffect(Schema.fromJsonString(Stored))),
    Effect.mapError((error) =>
      error._tag === "FileProblem" ? error : new FileProblem({ message: `${run.file("config.json")} is damaged: it holds no settings.` }))
  )
  if (typeof config["working_dir"] !== "string") {
    return yield* new BadInput({ message: `${run.path} was begun by a vequinox that could not resume: begin a new run.` })
  }
  yield* Effect.try({
    try: () => fs.accessSync(run.path, fs.constants.W_OK),
    catch: (cause) => new FileProblem({ message: `${run.path} cannot be written to: ${explain(cause)}.` })
  })
  return { run, config } satisfies Begun as Begun
})

/** Whether it was under way: then the values that follow from the settings are known, and are compared. */
export const wasUnderWay = ({ config }: Begun): boolean => config["judge_identity"] !== undefined

/** A path as the run's first process would have found it, if something is there. */
const settled = (name: SettingName, value: unknown, from: string): unknown => {
  if (!paths.has(name) || typeof value !== "string" || value === "" || value === "embedded") return value
  const at = path.resolve(from, value)
  return fs.existsSync(at) ? at : value
}

interface Difference {
  readonly what: string
  /** Undefined if it is too long to show. */
  readonly was?: string
  readonly is?: string
}

const refusal = (run: RunFolder, differences: ReadonlyArray<Difference>): Effect.Effect<void, BadInput> =>
  differences.length === 0 ? Effect.void : Effect.fail(
    new BadInput({
      message: `${run.path} cannot continue as it began: ${
        differences.map(({ is, was, what }) => is === undefined || was === undefined ? `${what} changed` : `${what} was ${was} and is ${is}`).join("; ")
      }. Put that back as it was, or begin a new run.`
    })
  )

const short = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "not set"
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** The settings of the resumed run: its own, and those given now that may change. */
export const resumedConfig = Effect.fn("resumedConfig")(function*(
  { config, run }: Begun,
  file: string | undefined,
  given: Readonly<Partial<Record<SettingName, unknown>>>
) {
  const names = Object.keys(settings) as Array<SettingName>
  const from = String(config["working_dir"])
  const asked = (config["asked"] ?? {}) as Readonly<Record<string, unknown>>
  const stored = Object.fromEntries(names.flatMap((name) => name in config ? [[name, settled(name, config[name], from)]] : []))
  const now = yield* resolveConfig(file, given, stored)
  const same = (name: SettingName, value: unknown): boolean =>
    JSON.stringify(settled(name, value, from)) === JSON.stringify(settled(name, now[name], process.cwd()))
  const grows = (name: SettingName): boolean =>
    name === "max_steps" && now.lr_scheduler_type.startsWith("constant") && now.max_steps > Number(stored["max_steps"])
  const changed = names.filter((name) => name in stored && !free.has(name) && !grows(name) && !same(name, stored[name]) && !(name in asked && same(name, asked[name])))
  yield* refusal(run, changed.map((name) => ({ what: `--${flagOf(name)}`, was: short(stored[name]), is: short(now[name]) })))
  const kept = names.filter((name) => name in stored && !free.has(name) && !grows(name))
  return { ...now, ...Object.fromEntries(kept.map((name) => [name, stored[name]])), output_dir: run.path } as TrainConfig
})

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** What the run's numbers depend on besides its settings, by its name in config.json. */
export const factsOf = (
  o: { readonly checkpoint: DecoderCheckpoint; readonly base: Base; readonly prompts: PromptSet; readonly curriculum?: Curriculum | undefined }
) => {
  const { folder } = o.checkpoint
  const beside = ["config.json", ...companionFiles].map((name) => path.join(folder, name)).filter((file) => fs.existsSync(file))
  const texts = (prompts: PromptSet["train"]) => prompts.map(({ text }) => text)
  return {
    // A commit of the Hub says as much as a slow hash of the weights.
    model_sha256: sha256([o.base.revision ?? weightsHash(o.checkpoint), ...beside.map((file) => fs.readFileSync(file, "utf8"))].join("\n")),
    prompts_sha256: sha256(JSON.stringify([texts(o.prompts.train), texts(o.prompts.heldOut)])),
    ...o.curriculum === undefined ? {} : { curriculum_sha256: o.curriculum.sha256, curriculum_stages: o.curriculum.stored },
    versions: { vequinox: version, node: process.version, onnxruntime: onnxVersion, resvg: resvgVersion },
    machine: `${os.cpus()[0]?.model ?? "unknown"} (${process.platform} ${process.arch})`
  }
}
export type Facts = ReturnType<typeof factsOf>

/** Node's arithmetic depends on its major version. */
const major = (version: string): string => version.split(".")[0]!

/** Fails if something that the run depends on has changed; the message names every change. */
export const needFacts = ({ config, run }: Begun, facts: Facts & { readonly adapter_sha256?: string }): Effect.Effect<void, BadInput> => {
  const stored = config as Readonly<Record<string, unknown>> & { readonly versions: Readonly<Record<string, string>> }
  const hashes = { model_sha256: "the model (its weights, config.json or tokenizer)", prompts_sha256: "the prompts", curriculum_sha256: "the curriculum", adapter_sha256: "the adapter that it started from" } as const
  const { node, ...versions } = facts.versions
  return refusal(run, [
    ...(Object.keys(hashes) as Array<keyof typeof hashes>).filter((name) => stored[name] !== facts[name]).map((name) => ({ what: hashes[name] })),
    ...(Object.keys(versions) as Array<keyof typeof versions>).filter((name) => stored.versions[name] !== versions[name])
      .map((name) => ({ what: name, was: stored.versions[name] ?? "none", is: versions[name] })),
    ...(major(stored.versions["node"] ?? "") === major(node) ? [] : [{ what: "Node", was: stored.versions["node"] ?? "none", is: node }])
  ])
}

/** Fails if the trainer runs that this run began with no longer fit: shorter ones would add up in another order. */
export const needRuns = (
  { run }: Begun,
  began: Pick<TrainConfig, "tokens_per_run" | "gradient_checkpointing">,
  fit: Pick<TrainConfig, "tokens_per_run" | "gradient_checkpointing">
): Effect.Effect<void, BadInput> =>
  fit.tokens_per_run === began.tokens_per_run && fit.gradient_checkpointing === began.gradient_checkpointing ? Effect.void : Effect.fail(
    new BadInput({
      message: `${run.path} began with trainer runs of ${began.tokens_per_run} tokens, and there is not enough memory for them now: free some, or raise --memory-gb.`
    })
  )

/**
 * Fails if the program no longer gives in code what it gave before, or gives more.
 * @param own names, sorted
 */
export const needOwn = ({ config, run }: Begun, own: ReadonlyArray<string>): Effect.Effect<void, BadInput> => {
  const stored = config["own"]
  const said = (names: ReadonlyArray<unknown>) => names.length === 0 ? "nothing" : names.join(", ")
  const [was, is] = [said(Array.isArray(stored) ? stored : []), said(own)]
  return refusal(run, was === is ? [] : [{ what: "what its program gave in code", was, is }])
}

export const needJudge = ({ config, run }: Begun, identity: string): Effect.Effect<void, BadInput> =>
  refusal(run, config["judge_identity"] === identity ? [] : [{ what: "the judge", was: String(config["judge_identity"]), is: identity }])

/** The run's folder as people write it after a command. */
const folderArgument = (run: RunFolder): string => {
  const near = path.relative(process.cwd(), run.path)
  const at = near === "" ? "." : near.startsWith("..") ? run.path : near
  return /^[\w./-]+$/.test(at) ? at : `'${at.replaceAll("'", "'\\''")}'`
}

/** The command that resumes the run, for people to copy. */
export const resumeCommand = (run: RunFolder): string => `vequinox train --resume ${folderArgument(run)}`

/** The same for a run whose work is spread over runners. */
export const joinCommand = (run: RunFolder): string => `vequinox join ${folderArgument(run)}`
