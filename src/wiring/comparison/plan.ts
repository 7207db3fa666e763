/** The plan of `vequinox ablate`: variants of a run, and the seeds that each is trained with. */
import { Effect, Schema } from "effect"
import { BadInput } from "../../system/errors.ts"
import { readText } from "../../system/files.ts"
import { parseYaml } from "../../system/yaml.ts"
import { resolveConfig, type SettingName, settings } from "../settings.ts"

const Settings = Schema.Record(Schema.String, Schema.Unknown)
const Plan = Schema.Struct({
  seeds: Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 - 1 }))),
  /** Of every variant. */
  settings: Schema.optionalKey(Settings),
  variants: Schema.Record(Schema.String, Schema.NullOr(Settings)),
  evaluation: Schema.optionalKey(Schema.Struct({
    prompts: Schema.optionalKey(Schema.NonEmptyString),
    choose_on: Schema.optionalKey(Schema.NonEmptyString),
    limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1e6 }))),
    temperatures: Schema.optionalKey(Schema.NonEmptyArray(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100 })))),
    k: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 256 })))
  }))
})

export interface Variant {
  readonly name: string
  /** The variant whose adapter of the same seed it starts from. */
  readonly after: string | undefined
  /** As given, over the defaults. */
  readonly settings: Readonly<Partial<Record<SettingName, unknown>>>
}

export interface AblationPlan {
  readonly seeds: ReadonlyArray<number>
  /** A variant stands behind the one that it starts from. */
  readonly variants: ReadonlyArray<Variant>
  readonly evaluation: NonNullable<(typeof Plan.Type)["evaluation"]>
}

/** Their numbers come from one comparison at the end, so single runs compare nothing, unless a plan says otherwise. */
const quiet = { eval_prompts: 0, trust_pairs: 0 } as const

/** What all variants share. */
const alike = ["model_name_or_path", "model_revision", "system_prompt", "prompt_template", "prefill", "max_new_tokens"] as const satisfies ReadonlyArray<SettingName>

/** What a plan says by itself: seeds and folders. */
const ours: ReadonlyArray<SettingName> = ["seed", "output_dir", "adapter"]

const inOrder = Effect.fnUntraced(function*(file: string, variants: ReadonlyArray<Variant>) {
  const sorted: Array<Variant> = []
  let left = variants
  while (left.length > 0) {
    const next = left.filter(({ after }) => after === undefined || sorted.some(({ name }) => name === after))
    if (next.length === 0) {
      const odd = left[0]!
      const there = variants.some(({ name }) => name === odd.after)
      return yield* new BadInput({ message: `${file}: ${odd.name} starts after ${odd.after}, ${there ? "which in turn waits for it" : "and there is no such variant"}.` })
    }
    sorted.push(...next)
    left = left.filter((variant) => !next.includes(variant))
  }
  return sorted as ReadonlyArray<Variant>
})

export const readPlan = Effect.fn("readPlan")(function*(file: string) {
  const value = yield* parseYaml(yield* readText(file), (message) => new BadInput({ message: `${file} is not YAML: ${message.replace(/\s+/g, " ")}.` }))
  const plan = yield* Schema.decodeUnknownEffect(Plan, { onExcessProperty: "error" })(value).pipe(
    Effect.mapError(({ message }) => new BadInput({ message: `${file}: ${message.replace(/\s+/g, " ").trim()}.` }))
  )
  const names = Object.keys(plan.variants)
  const odd = names.find((name) => name === "base" || !/^[\w.-]{1,40}$/.test(name))
  if (names.length === 0 || odd !== undefined) {
    return yield* new BadInput({ message: odd === undefined ? `${file} has no variants.` : `${file}: no variant can be called "${odd}": take letters, digits, dots and hyphens, and not base, which is the untrained policy.` })
  }
  const variants = yield* Effect.forEach(names, Effect.fnUntraced(function*(name) {
    const { after, ...own } = plan.variants[name] ?? {}
    const given: Readonly<Record<string, unknown>> = { ...quiet, ...plan.settings, ...own }
    const where = `${file}, variant ${name}`
    const unknown = Object.keys(given).find((setting) => !Object.hasOwn(settings, setting))
    if (unknown !== undefined) return yield* new BadInput({ message: `${where}: there is no setting "${unknown}".` })
    const taken = ours.find((setting) => setting in given)
    if (taken !== undefined) return yield* new BadInput({ message: `${where}: ${taken} is not given here: the plan has seeds, --out and \`after\` for that.` })
    if (after !== undefined && typeof after !== "string") return yield* new BadInput({ message: `${where}: after must be the name of another variant.` })
    const config = yield* resolveConfig(undefined, given).pipe(Effect.mapError(({ message }) => new BadInput({ message: `${where}: ${message}` })))
    return { config, variant: { name, after, settings: given } satisfies Variant as Variant }
  }))
  // They are compared with one base, asked in one form.
  for (const setting of alike) {
    const other = variants.find(({ config }) => config[setting] !== variants[0]!.config[setting])
    if (other !== undefined) {
      return yield* new BadInput({ message: `${file}: ${other.variant.name} has another ${setting} than ${names[0]}: variants of one plan share it, so set it under settings.` })
    }
  }
  return { seeds: [...new Set(plan.seeds)], variants: yield* inOrder(file, variants.map(({ variant }) => variant)), evaluation: plan.evaluation ?? {} } satisfies AblationPlan as AblationPlan
})
