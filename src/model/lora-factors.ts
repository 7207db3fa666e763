/**
 * A PEFT LoRA folder from any program, checked module by module against the base it is put on.
 *
 * The file's tensors say which modules are adapted; adapter_config.json says by how much. Options that PEFT knows and
 * this code does not compute are refused by name: otherwise the model would be wrong without any sign.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, type DecoderCheckpoint, needFloat, openWeights, readJson, type WeightFiles } from "./model-folder.ts"
import { type LoraConfig, factorsOf, loraNames } from "../engine/weights/parameters.ts"
import { TimeLimitPassed, within } from "../system/time-limit.ts"

const Patterns = Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Finite)))
const Strings = Schema.Union([Schema.String, Schema.Array(Schema.String)])
const FactorsJson = Schema.Struct({
  r: Schema.Int.check(Schema.isGreaterThan(0)),
  lora_alpha: Schema.Finite,
  /** Absent: the file's tensors say which. */
  target_modules: Schema.optionalKey(Schema.NullOr(Strings)),
  base_model_name_or_path: Schema.optionalKey(Schema.NullOr(Schema.String)),
  exclude_modules: Schema.optionalKey(Schema.NullOr(Strings)),
  layers_to_transform: Schema.optionalKey(Schema.Unknown),
  use_rslora: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  rank_pattern: Patterns,
  alpha_pattern: Patterns
})

/**
 * Options with which an adapter is more than, or different from, W + scale B A on linear modules. Any other `use_...`
 * counts too.
 */
const refused = [
  "bias",
  "modules_to_save",
  "fan_in_fan_out",
  "lora_bias",
  "layer_replication",
  "target_parameters",
  "trainable_token_indices",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "velora_config",
  "monteclora_config"
]
/** Initialisations that leave the base as it was; the others (pissa, olora, corda, loftq, ...) change it. */
const harmlessStarts: ReadonlyArray<unknown> = [undefined, null, true, false, "gaussian", "eva", "orthogonal"]

const isUnset = (value: unknown): boolean =>
  value === undefined || value === null || value === false || value === "none" ||
  (typeof value === "object" && Object.keys(value).length === 0)

export interface FactorFiles {
  readonly files: WeightFiles
  readonly lora: LoraConfig
  /** The adapted modules, which are linear ones of the base. */
  readonly modules: ReadonlyArray<string>
}

/**
 * Opens the folder; its tensors stay in their file. If the base has no place for a tensor, the error names the first
 * one.
 */
export const openFactors = Effect.fn("openFactors")(function*(folder: string, base: DecoderCheckpoint) {
  const refuse = (message: string) => Effect.fail(new CheckpointInvalid({ message: `${folder}${message}.` }))
  if (!fs.existsSync(path.join(folder, "adapter_config.json"))) {
    return yield* refuse(" is not a PEFT adapter: it has no adapter_config.json, check the path given as --adapter")
  }
  const all = yield* readJson(folder, "adapter_config.json", Schema.Record(Schema.String, Schema.Unknown))
  if (all["peft_type"] !== "LORA") {
    return yield* refuse(` is a ${String(all["peft_type"])} adapter: only LORA adapters are read`)
  }
  const elsewhere = "fold it into its base with peft's merge_and_unload and give that as --model"
  const option = Object.keys(all).find((name) =>
    (refused.includes(name) || (name.startsWith("use_") && name !== "use_rslora")) && !isUnset(all[name]))
  if (option !== undefined) {
    return yield* refuse(` was made with ${option} = ${JSON.stringify(all[option])}, which is not known here: ${elsewhere}`)
  }
  if (!harmlessStarts.includes(all["init_lora_weights"])) {
    return yield* refuse(` was made with init_lora_weights = ${JSON.stringify(all["init_lora_weights"])}, which changes the base: ${elsewhere}`)
  }
  const json = yield* readJson(folder, "adapter_config.json", FactorsJson)
  const linear = [...base.index].filter(([name, { shape }]) => name.endsWith(".weight") && shape.length === 2)
    .map(([name, { shape }]) => ({ module: name.slice(0, -".weight".length), shape }))
  const at = path.join(folder, "adapter_config.json")
  const rules = yield* Effect.try({
    // Its patterns are a stranger's regular expressions: an ordinary one takes microseconds, a hostile one for ever.
    try: () => within(patternSeconds, () => rulesOf(json, linear.map(({ module }) => module))),
    catch: (cause) =>
      new CheckpointInvalid({
        message: cause instanceof TimeLimitPassed
          ? `${at} has patterns that cannot be matched within ${patternSeconds} s: write the names of modules instead.`
          : `${at} has an invalid pattern: ${(cause as Error).message}.`
      })
  })
  const files = yield* openWeights(folder, "adapter_model.safetensors")
  const made = json.base_model_name_or_path
  const other = (what: string) =>
    refuse(` is not an adapter of ${base.folder}${made ? `, it was made for ${made}` : ""}: ${what}`)
  const known = new Set<string>()
  const modules: Array<string> = []
  for (const { module, shape: [out, width] } of linear) {
    const { A, B } = loraNames(module)
    const { r, targeted } = rules.get(module)!
    if (!files.index.has(A) && !files.index.has(B) && !targeted) continue
    for (const [name, wanted] of [[A, [r, width]], [B, [out, r]]] as const) {
      const found = files.index.get(name)
      if (found?.shape.join() !== wanted.join()) {
        return yield* other(`${name} is ${found ? `[${found.shape}]` : "missing"}, but the base asks for [${wanted}]`)
      }
      yield* needFloat(folder, name, found.dtype)
      known.add(name)
    }
    if (base.config.tied && (module === "lm_head" || module === "model.embed_tokens")) {
      return yield* refuse(` adapts ${module}, which the base ties to another matrix: ${elsewhere}`)
    }
    modules.push(module)
  }
  const unknown = [...files.index.keys()].find((name) => !known.has(name))
  if (unknown !== undefined) return yield* other(`the base has no linear module for its tensor ${unknown}`)
  if (modules.length === 0) return yield* other("it adapts none of its modules")
  const apart = (value: "r" | "alpha", usual: number) =>
    Object.fromEntries(modules.map((module) => [module, rules.get(module)![value]] as const).filter(([, own]) => own !== usual))
  const lora: LoraConfig = {
    r: json.r,
    alpha: json.lora_alpha,
    targets: targetsOf(modules, linear.map(({ module }) => module)),
    rankStabilized: json.use_rslora ?? false,
    ranks: apart("r", json.r),
    alphas: apart("alpha", json.lora_alpha)
  }
  return { files, lora, modules } satisfies FactorFiles as FactorFiles
})

/** The endings of these modules' names, if no other linear module has them; else the whole names. */
const targetsOf = (modules: ReadonlyArray<string>, linear: ReadonlyArray<string>): ReadonlyArray<string> => {
  const endings = [...new Set(modules.map((module) => module.slice(module.lastIndexOf(".") + 1)))].sort()
  const named = linear.filter((module) => factorsOf({ r: 1, alpha: 1, targets: endings }, module))
  return named.length === modules.length ? endings : modules
}

/** A pattern as Python's `re` reads it; throws if JavaScript would read it differently. */
const pattern = (text: string, around: (text: string) => string): RegExp => {
  if (/\\[AZ]|\(\?P|\(\?[a-zA-Z]+\)/.test(text)) throw new Error(`${text} works only in Python`)
  return new RegExp(around(text))
}

/** Seconds for all patterns on all modules. */
const patternSeconds = 2

interface Rule {
  readonly r: number
  readonly alpha: number
  /** Whether the file says that it is adapted. */
  readonly targeted: boolean
}

/**
 * What adapter_config.json says about each module, by PEFT's rules: patterns are regular expressions for the end of a
 * name.
 */
const rulesOf = (json: typeof FactorsJson.Type, modules: ReadonlyArray<string>): ReadonlyMap<string, Rule> => {
  const compile = (patterns: Readonly<Record<string, number>> | null | undefined) =>
    Object.entries(patterns ?? {}).map(([key, value]) => [pattern(key, (text) => `^(.*\\.)?(${text})$`), value] as const)
  const [ranks, alphas] = [compile(json.rank_pattern), compile(json.alpha_pattern)]
  const first = (patterns: typeof ranks, module: string) => patterns.find(([pattern]) => pattern.test(module))?.[1]
  const targets = json.target_modules
  const named: (module: string) => boolean = targets == null
    ? () => false
    : typeof targets !== "string"
    ? (module) => factorsOf({ r: 1, alpha: 1, targets }, module) !== undefined
    : targets.toLowerCase() === "all-linear"
    ? () => false
    : ((whole) => (module) => whole.test(module))(pattern(targets, (text) => `^(?:${text})$`))
  // If layers are left out, only the file says which.
  const complete = isUnset(json.exclude_modules) && isUnset(json.layers_to_transform)
  return new Map(modules.map((module) => [module, {
    r: first(ranks, module) ?? json.r,
    alpha: first(alphas, module) ?? json.lora_alpha,
    targeted: complete && named(module)
  }]))
}
