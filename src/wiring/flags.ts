/** Flags that several subcommands share, each with its description, range and default in one place. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Schema } from "effect"
import { Flag } from "effect/cli"

export const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))

/** The folder this package was installed to: where models/ is. */
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..")
export const embeddedPolicy = path.join(packageRoot, "models", "policy")

export const model = Flag.String("model").pipe(
  Flag.withAlias("m"),
  Flag.withDescription("policy: a Hugging Face checkpoint folder, or a model of the Hub as owner/name (default: the embedded one)"),
  Flag.withDefault(embeddedPolicy)
)
export const revision = Flag.String("revision").pipe(
  Flag.withDescription("branch, tag or commit of a model of the Hub (default: main)"),
  Flag.withDefault("")
)
export const seed = Flag.Int("seed").pipe(Flag.withDescription("key of all randomness"), Flag.withDefault(0))
export const device = Flag.Literals("device", ["auto", "cpu", "webgpu", "cuda"]).pipe(
  Flag.withDescription("where sessions run; auto takes a GPU where one answers and the model is large enough"),
  Flag.withDefault("auto")
)
export const threads = Flag.Int("threads").pipe(
  Flag.withDescription("threads of one onnxruntime run; 0 takes all cores"),
  Flag.withDefault(0)
)
export const json = Flag.Boolean("json").pipe(Flag.withDescription("results as JSON lines on stdout"), Flag.withDefault(false))
export const learningRate = (value: number) =>
  Flag.Finite("learning-rate").pipe(
    Flag.withDescription("AdamW's step size"),
    Flag.withSchema(Schema.Finite.check(Schema.isGreaterThan(0))),
    Flag.withDefault(value)
  )

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
