/**
 * A policy's config.json, as transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`) write it. An
 * unknown setting that would change the numbers is refused, never ignored.
 */
import { Effect, Schema } from "effect"
import { type DecoderConfig, families, traits } from "../engine/nets/transformer.ts"

/** The config asks for something this engine does not have; `message` follows the file's name. */
export class ConfigRefused extends Schema.TaggedError<ConfigRefused>()("ConfigRefused", { message: Schema.String }) {}

const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))
const optional = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Rope = Schema.Struct({
  rope_theta: optional(Schema.Finite),
  rope_type: optional(Schema.String),
  type: optional(Schema.String), // before transformers 4.43
  factor: optional(Schema.Finite),
  low_freq_factor: optional(Schema.Finite),
  high_freq_factor: optional(Schema.Finite),
  original_max_position_embeddings: optional(PositiveInt),
  partial_rotary_factor: optional(Schema.Finite)
})
type Rope = typeof Rope.Type

const Shared = Schema.Struct({
  model_type: Schema.Literals(families),
  vocab_size: PositiveInt,
  hidden_size: PositiveInt,
  intermediate_size: PositiveInt,
  num_hidden_layers: PositiveInt,
  num_attention_heads: PositiveInt,
  num_key_value_heads: optional(PositiveInt),
  head_dim: optional(PositiveInt),
  rms_norm_eps: Schema.Finite,
  max_position_embeddings: PositiveInt,
  rope_theta: optional(Schema.Finite),
  rope_scaling: optional(Rope),
  tie_word_embeddings: optional(Schema.Boolean),
  hidden_act: optional(Schema.String),
  hidden_activation: optional(Schema.String),
  layer_types: optional(Schema.Array(Schema.Literals(["sliding_attention", "full_attention"])))
})

/** Settings that each family writes in its own way. */
interface Own extends Pick<DecoderConfig, "queryScalar" | "ropeTheta" | "sliding" | "tied"> {
  /** Rotary settings of the layers that see everything, and of the sliding layers. */
  readonly rope: Rope
  readonly slidingRope: Rope
}

const Plain = Schema.Struct({ ...Shared.fields, rope_parameters: optional(Rope) })

const plain = (json: typeof Plain.Type): Own => ({
  queryScalar: headDimOf(json),
  ropeTheta: json.rope_theta ?? json.rope_parameters?.rope_theta ?? 10_000,
  rope: json.rope_scaling ?? json.rope_parameters ?? {},
  slidingRope: {},
  sliding: undefined,
  tied: json.tie_word_embeddings ?? false
})

const Gemma3 = Schema.Struct({
  ...Shared.fields,
  query_pre_attn_scalar: Schema.Finite.check(Schema.isGreaterThan(0)),
  sliding_window: PositiveInt,
  sliding_window_pattern: optional(PositiveInt),
  rope_local_base_freq: optional(Schema.Finite),
  rope_parameters: optional(Schema.Struct({ full_attention: optional(Rope), sliding_attention: optional(Rope) }))
})

/** Defaults are those of transformers. */
const gemma3 = (json: typeof Gemma3.Type): Own => {
  const full = json.rope_parameters?.full_attention ?? {}
  const local = json.rope_parameters?.sliding_attention ?? {}
  const pattern = json.sliding_window_pattern ?? 6 // every sixth layer sees everything
  return {
    queryScalar: json.query_pre_attn_scalar,
    ropeTheta: json.rope_theta ?? full.rope_theta ?? 1_000_000,
    rope: json.rope_scaling ?? full,
    slidingRope: local,
    sliding: {
      layers: json.layer_types?.map((type) => type === "sliding_attention") ??
        Array.from({ length: json.num_hidden_layers }, (_, i) => (i + 1) % pattern !== 0),
      window: json.sliding_window,
      ropeTheta: json.rope_local_base_freq ?? local.rope_theta ?? 10_000
    },
    tied: json.tie_word_embeddings ?? true
  }
}

const headDimOf = (json: typeof Shared.Type): number =>
  json.head_dim ?? Math.floor(json.hidden_size / json.num_attention_heads)

const scalingOf = (rope: Rope): string => rope.rope_type ?? rope.type ?? "default"

/** Switches of config.json that no family here has; missing, null or false means off. */
const unknownSwitches = [
  "attention_bias",
  "mlp_bias",
  "use_sliding_window",
  "attn_logit_softcapping",
  "final_logit_softcapping",
  "use_bidirectional_attention"
]

const quantizedBy = (config: unknown): string =>
  String((config as Readonly<Record<string, unknown>>)["quant_method"] ?? "in some way")

/** What is not supported here, as text that follows the file's name. */
const refusals = (
  switches: Readonly<Record<string, unknown>>,
  json: typeof Shared.Type,
  c: DecoderConfig,
  { rope, slidingRope }: Own
): ReadonlyArray<string | false> => {
  const { activation } = traits[c.family]
  const lacks = `which is not supported for ${c.family}`
  const act = json.hidden_activation ?? json.hidden_act ?? activation
  return [
    ...unknownSwitches.map((name) => Boolean(switches[name]) && `asks for ${name}, ${lacks}`),
    Boolean(switches["quantization_config"]) &&
    `is quantized (${quantizedBy(switches["quantization_config"])}), which is not read: take the checkpoint that it was made of`,
    act !== activation && `asks for the activation "${act}": ${c.family} is known with ${activation}`,
    !["default", "llama3"].includes(scalingOf(rope)) &&
    `asks for "${scalingOf(rope)}" rotary scaling: known are default and llama3`,
    scalingOf(slidingRope) !== "default" &&
    `asks for "${scalingOf(slidingRope)}" rotary scaling of sliding layers: known is default`,
    [rope, slidingRope].some((r) => (r.partial_rotary_factor ?? 1) !== 1) && `asks for partial_rotary_factor, ${lacks}`,
    c.sliding === undefined && json.layer_types?.includes("sliding_attention") === true &&
    `asks for sliding layers (layer_types), ${lacks}`,
    c.sliding !== undefined && c.sliding.layers.length !== c.layers &&
    `has ${c.sliding.layers.length} layer_types for ${c.layers} layers`,
    c.heads % c.kvHeads !== 0 && `has ${c.heads} query heads, which ${c.kvHeads} key heads cannot share evenly`
  ]
}

/** One family's reading: the expected fields, and their meaning. */
const reading = <A extends typeof Shared.Type>(schema: Schema.Codec<A, unknown>, own: (json: A) => Own) =>
  Effect.fnUntraced(function*(given: unknown) {
    const json = yield* Schema.decodeUnknownEffect(schema)(given)
    const said = own(json)
    const { queryScalar, rope, ropeTheta, sliding, tied } = said
    const config: DecoderConfig = {
      family: json.model_type,
      vocab: json.vocab_size,
      hidden: json.hidden_size,
      intermediate: json.intermediate_size,
      layers: json.num_hidden_layers,
      heads: json.num_attention_heads,
      kvHeads: json.num_key_value_heads ?? json.num_attention_heads,
      headDim: headDimOf(json),
      queryScalar,
      normEpsilon: json.rms_norm_eps,
      ropeTheta,
      ropeScaling: scalingOf(rope) === "default" ? undefined : {
        factor: rope.factor ?? 1,
        lowFreqFactor: rope.low_freq_factor ?? 1,
        highFreqFactor: rope.high_freq_factor ?? 4,
        originalMaxPositions: rope.original_max_position_embeddings ?? json.max_position_embeddings
      },
      sliding,
      tied,
      maxPositions: json.max_position_embeddings
    }
    const refused = refusals(given as Readonly<Record<string, unknown>>, json, config, said).find((message) => message !== false)
    return refused === undefined ? config : yield* refuse(refused)
  })

const readings: Readonly<Record<DecoderConfig["family"], ReturnType<typeof reading>>> = {
  llama: reading(Plain, plain),
  qwen2: reading(Plain, plain),
  qwen3: reading(Plain, plain),
  gemma3_text: reading(Gemma3, gemma3)
}

const refuse = (message: string) => new ConfigRefused({ message })

const isFamily = (name: string): name is DecoderConfig["family"] => (families as ReadonlyArray<string>).includes(name)

/** Fails with `ConfigRefused`, or with a `SchemaError` if a field is missing or of the wrong kind. */
export const decoderConfig = Effect.fnUntraced(function*(json: unknown) {
  const { model_type: family } = yield* Schema.decodeUnknownEffect(Schema.Struct({ model_type: Schema.String }))(json)
  if (isFamily(family)) return yield* readings[family](json)
  const known = `${families.slice(0, -1).join(", ")} and ${families.at(-1)}`
  return yield* refuse(
    `is of the family "${family}": known are ${known}${family === "gemma3" ? "; take a Gemma 3 without vision, such as google/gemma-3-1b-it" : ""}`
  )
})
