/**
 * The factors of a PEFT LoRA folder, module by module, as they are folded into a base.
 *
 * The file's tensors say which modules are adapted; adapter_config.json says by how much. What PEFT knows and this does
 * not fold is refused by name: a merged checkpoint that is not the adapted model would be wrong without a sign.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, type DecoderCheckpoint, openWeights, readJson, type WeightFiles } from "./checkpoint.ts"
import { loraNames } from "./numerics/parameters.ts"

const Patterns = Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Finite)))
const Strings = Schema.Union([Schema.String, Schema.Array(Schema.String)])
const FactorsJson = Schema.Struct({
  r: Schema.Int.check(Schema.isGreaterThan(0)),
  lora_alpha: Schema.Finite,
  target_modules: Strings,
  exclude_modules: Schema.optionalKey(Schema.NullOr(Strings)),
  layers_to_transform: Schema.optionalKey(Schema.Unknown),
  use_rslora: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  rank_pattern: Patterns,
  alpha_pattern: Patterns
})

/** Options under which an adapter is more, or other, than W + scale B A on linear modules. */
const unfolded = [
  "use_dora",
  "bias",
  "modules_to_save",
  "fan_in_fan_out",
  "lora_bias",
  "layer_replication",
  "target_parameters",
  "trainable_token_indices",
  "use_qalora",
  "use_bdlora",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "velora_config",
  "monteclora_config"
]
/** Ways to begin that leave the base as it was; the others (pissa, olora, corda, loftq, ...) change it. */
const harmlessStarts: ReadonlyArray<unknown> = [undefined, null, true, false, "gaussian", "eva", "orthogonal"]

const isUnset = (value: unknown): boolean =>
  value === undefined || value === null || value === false || value === "none" ||
  (typeof value === "object" && Object.keys(value).length === 0)

export interface LoraFactors {
  readonly r: number
  /** alpha / r, or alpha / √r for rsLoRA (Kalajdzievski 2023, arXiv:2312.03732). */
  readonly scale: number
}

export interface FactorFiles {
  readonly files: WeightFiles
  /** By the name of the module's weight in the base. */
  readonly factors: ReadonlyMap<string, LoraFactors & { readonly A: string; readonly B: string }>
}

/** Opens the folder and checks it, tensor by tensor, against the base it is to be folded into. */
export const openFactors = Effect.fn("openFactors")(function*(folder: string, base: DecoderCheckpoint) {
  const refuse = (message: string) => Effect.fail(new CheckpointInvalid({ message: `${folder}${message}.` }))
  if (!fs.existsSync(path.join(folder, "adapter_config.json"))) {
    return yield* refuse(" is no PEFT adapter: it has no adapter_config.json, check the path given as --adapter")
  }
  const all = yield* readJson(folder, "adapter_config.json", Schema.Record(Schema.String, Schema.Unknown))
  if (all["peft_type"] !== "LORA") {
    return yield* refuse(` is a ${String(all["peft_type"])} adapter: only LORA adapters are merged`)
  }
  const option = unfolded.find((name) => !isUnset(all[name]))
  if (option !== undefined) {
    return yield* refuse(` was made with ${option} = ${JSON.stringify(all[option])}, which is not merged: use peft's merge_and_unload`)
  }
  if (!harmlessStarts.includes(all["init_lora_weights"])) {
    return yield* refuse(
      ` was made with init_lora_weights = ${JSON.stringify(all["init_lora_weights"])}, which changes the base: use peft's merge_and_unload`
    )
  }
  const json = yield* readJson(folder, "adapter_config.json", FactorsJson)
  const ofModule = yield* Effect.try({
    try: () => rulesOf(json),
    catch: (cause) =>
      new CheckpointInvalid({ message: `${path.join(folder, "adapter_config.json")} has a pattern that is none: ${(cause as Error).message}.` })
  })
  const files = yield* openWeights(folder, "adapter_model.safetensors")
  const factors = new Map<string, LoraFactors & { readonly A: string; readonly B: string }>()
  const other = (what: string) => refuse(` is not an adapter of ${base.folder}: ${what}`)
  const known = new Set<string>()
  for (const [weight, { shape }] of base.index) {
    const module = weight.replace(/\.weight$/, "")
    const { A, B } = loraNames(module)
    const [a, b] = [files.index.get(A)?.shape, files.index.get(B)?.shape]
    const { factors: { r, scale }, targeted } = ofModule(module)
    if (a === undefined && b === undefined && !(targeted && shape.length === 2)) continue
    const [out, width] = shape
    for (const [name, found, wanted] of [[A, a, [r, width]], [B, b, [out, r]]] as const) {
      if (found?.join() !== wanted.join() || shape.length !== 2) {
        return yield* other(`${name} is ${found ? `[${found}]` : "missing"}, but the base asks for [${wanted}]`)
      }
      known.add(name)
    }
    if (base.config.tied && (module === "lm_head" || module === "model.embed_tokens")) {
      return yield* refuse(` adapts ${module}, which the base ties to another matrix: use peft's merge_and_unload`)
    }
    factors.set(weight, { r, scale, A, B })
  }
  const unknown = [...files.index.keys()].find((name) => !known.has(name))
  if (unknown !== undefined) return yield* other(`the base has no linear module for its tensor ${unknown}`)
  if (factors.size === 0) return yield* other("it adapts none of its modules")
  return { files, factors } satisfies FactorFiles as FactorFiles
})

/** What adapter_config.json says of a module, by PEFT's rules: patterns are regular expressions for the end of a name. */
const rulesOf = (json: typeof FactorsJson.Type) => {
  const compile = (patterns: Readonly<Record<string, number>> | null | undefined) =>
    Object.entries(patterns ?? {}).map(([key, value]) => [new RegExp(`^(.*\\.)?(${key})$`), value] as const)
  const [ranks, alphas] = [compile(json.rank_pattern), compile(json.alpha_pattern)]
  const first = (patterns: typeof ranks, module: string) => patterns.find(([pattern]) => pattern.test(module))?.[1]
  const targets = json.target_modules
  const named: (module: string) => boolean = typeof targets === "string"
    ? (([pattern]) => (module) => targets !== "all-linear" && pattern!.test(module))([new RegExp(`^(?:${targets})$`)])
    : (module) => targets.some((target) => module === target || module.endsWith(`.${target}`))
  // Where layers are left out, the file alone says which.
  const complete = isUnset(json.exclude_modules) && isUnset(json.layers_to_transform)
  return (module: string): { readonly factors: LoraFactors; readonly targeted: boolean } => {
    const r = first(ranks, module) ?? json.r
    const alpha = first(alphas, module) ?? json.lora_alpha
    return {
      factors: { r, scale: alpha / (json.use_rslora ? Math.sqrt(r) : r) },
      targeted: complete && named(module)
    }
  }
}
