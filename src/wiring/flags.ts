/** Flags that several subcommands share, each with its description, range and default in one place. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Schema } from "effect"
import { Flag } from "effect/cli"
import { int } from "../system/ranges.ts"
import { numberFlag, numberSetting, trlNamed } from "./setting-flags.ts"

/** The folder this package was installed to: where models/ is. */
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..")
export const embeddedPolicy = path.join(packageRoot, "models", "policy")

export const model = Flag.String("model").pipe(
  Flag.withAlias("m"),
  trlNamed("model"),
  Flag.withDescription("policy: a Hugging Face checkpoint folder, or a model of the Hub as owner/name (default: the embedded one)"),
  Flag.withDefault(embeddedPolicy)
)
export const revision = Flag.String("revision").pipe(
  trlNamed("revision"),
  Flag.withDescription("branch, tag or commit of a model of the Hub (default: main)"),
  Flag.withDefault("")
)
export const seed = numberSetting("seed", 0)
export const device = Flag.Literals("device", ["auto", "cpu", "webgpu", "cuda"]).pipe(
  Flag.withDescription("where sessions run; auto takes a GPU where one answers and the model is large enough"),
  Flag.withDefault("auto")
)
export const threads = numberSetting("threads", 0)
export const json = Flag.Boolean("json").pipe(Flag.withDescription("results as JSON lines on stdout"), Flag.withDefault(false))
/** A count of its own, from 1. */
export const count = (name: string, most: number) => numberFlag(name, int(1, most))
/** A folder that the command fills. */
export const out = Flag.String("out").pipe(trlNamed("out"))

/** Input that a subcommand cannot use; the message says which, why, and what to do. */
export class BadInput extends Schema.TaggedError<BadInput>()("BadInput", {
  message: Schema.String
}) {}

export const adapter = Flag.String("adapter").pipe(
  Flag.withDescription("PEFT adapter folder to put on the policy"),
  Flag.optional
)

const packageJson = JSON.parse(fs.readFileSync(path.join(packageRoot, "package.json"), "utf8")) as {
  readonly version: string
  readonly engines: { readonly node: string }
  readonly dependencies: Readonly<Record<string, string>>
}
export const version = packageJson.version
export const onnxVersion = packageJson.dependencies["onnxruntime-node"]!
export const resvgVersion = packageJson.dependencies["@resvg/resvg-js"]!
/** What package.json says of Node, as `>=20`. */
export const nodeWanted = packageJson.engines.node
