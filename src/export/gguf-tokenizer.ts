/**
 * A tokenizer.json as llama.cpp's own tokenizers read it, or a refusal: a model whose text is cut otherwise than it was
 * taught is wrong without any sign.
 *
 * llama.cpp cannot be told how text is split before merging; it knows ways by name (`tokenizer.ggml.pre`, in
 * llama-vocab.cpp). A way that is not among them is tried: if all of `askedTexts` come to the same tokens when they are
 * not split at all, the tokenizer is written in SentencePiece's form, which does not split, and of other texts the
 * number that does not is told. llama.cpp applies no Unicode normalisation, which Qwen's tokenizers have (NFC); its own
 * converter leaves it out too.
 */
import * as path from "node:path"
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, readJson } from "../model/model-folder.ts"
import { openTokenizer, readChatTemplate } from "../model/tokenizer/tokenizer.ts"
import { openSeconds } from "../model/tokenizer/limits.ts"
import { within } from "../system/time-limit.ts"
import { askedTexts, otherTexts } from "./check-texts.ts"
import { bool, floats, ints, type Pair, string, strings, uint } from "./gguf-file.ts"

const AnyObject = Schema.Record(Schema.String, Schema.Unknown)
const Merge = Schema.Union([Schema.String, Schema.Tuple([Schema.String, Schema.String])])
const TokenizerJson = Schema.Struct({
  normalizer: Schema.optionalKey(Schema.NullOr(AnyObject)),
  pre_tokenizer: Schema.optionalKey(Schema.NullOr(AnyObject)),
  post_processor: Schema.optionalKey(Schema.NullOr(AnyObject)),
  added_tokens: Schema.optionalKey(Schema.Array(Schema.Struct({ id: Schema.Int, content: Schema.String, special: Schema.Boolean }))),
  model: Schema.Struct({
    type: Schema.optionalKey(Schema.String),
    vocab: Schema.Record(Schema.String, Schema.Int),
    merges: Schema.Array(Merge),
    byte_fallback: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
    ignore_merges: Schema.optionalKey(Schema.NullOr(Schema.Boolean))
  })
})
type TokenizerJson = typeof TokenizerJson.Type
type Step = Readonly<Record<string, unknown>>

/** llama.cpp's numbers of kinds of tokens. */
const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** The steps of a normalizer or pre-tokenizer, sequences laid out flat. */
const stepsOf = (step: unknown): ReadonlyArray<Step> => {
  if (typeof step !== "object" || step === null) return []
  const { normalizers, pretokenizers, processors, type } = step as Step
  return type === "Sequence" ? ((normalizers ?? pretokenizers ?? processors) as ReadonlyArray<unknown>).flatMap(stepsOf) : [step as Step]
}

/** Splitting regular expressions that llama.cpp has by name, as tokenizer.json writes them. */
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
const rest = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const patterns: Readonly<Record<string, string>> = {
  [`${contractions}|\\p{N}${rest}`]: "qwen2",
  [`${contractions}|\\p{N}{1,3}${rest}`]: "llama-bpe"
}

/** llama.cpp's name of the way text is split before bytes are merged; undefined if it has none. */
const splitName = (steps: ReadonlyArray<Step>): string | undefined => {
  const bytes = steps.at(-1)
  if (bytes?.["type"] !== "ByteLevel" || bytes["add_prefix_space"] === true) return undefined
  const before = steps.slice(0, -1)
  const own = bytes["use_regex"] !== false // GPT-2's expression
  if (before.length === 0) return own ? "gpt-2" : undefined
  const [{ behavior, individual_digits: single, invert, pattern, type } = {} as Step] = before
  if (before.length > 1) return undefined
  if (type === "Digits") return own && single === true ? "smollm" : undefined
  if (type !== "Split" || own || behavior !== "Isolated" || invert === true) return undefined
  return patterns[(pattern as { readonly Regex?: string } | undefined)?.Regex ?? ""]
}

/** Whether text goes through unchanged, or only composed (NFC). */
const isPlain = (steps: ReadonlyArray<Step>): boolean => steps.every(({ type }) => type === "NFC")

/**
 * SentencePiece's form: spaces become ▁, characters are merged, and what is not in the vocabulary becomes byte tokens.
 * Returns whether text gets a space before it; undefined for any other form.
 */
const spacePrefix = (normalizer: ReadonlyArray<Step>, splits: ReadonlyArray<Step>): boolean | undefined => {
  const replaces = (step: Step | undefined) =>
    step?.["type"] === "Replace" && (step["pattern"] as { readonly String?: string }).String === " " && step["content"] === "▁"
  const [first, second] = normalizer
  if (normalizer.length === 0 && splits.length === 1 && splits[0]!["type"] === "Metaspace") {
    const { add_prefix_space: old, prepend_scheme: scheme, replacement, split } = splits[0]!
    return replacement === "▁" && split !== true ? (scheme === undefined ? old !== false : scheme !== "never") : undefined
  }
  // Gemma's split at spaces finds none: they are ▁ by then.
  const harmless = splits.every(({ behavior, pattern, type }) =>
    type === "Split" && behavior === "MergedWithPrevious" && (pattern as { readonly String?: string }).String === " ")
  if (!harmless) return undefined
  if (normalizer.length === 1 && replaces(first)) return false
  return normalizer.length === 2 && first!["type"] === "Prepend" && first!["prepend"] === "▁" && replaces(second) ? true : undefined
}

/** A token's text, and what kind it is. */
interface Token {
  readonly text: string
  readonly kind: number
  readonly score?: number
}

interface Form {
  /** `tokenizer.ggml.model` */
  readonly model: string
  readonly pre: string
  readonly token: (text: string) => Token
  readonly more: ReadonlyArray<Pair>
  readonly differing?: number
}

const pairsOf = ({ model: { merges } }: TokenizerJson): ReadonlyArray<readonly [string, string]> =>
  merges.map((merge) => typeof merge === "string" ? (merge.split(" ") as [string, string]) : merge)

/** A space inside of a merge's half, as gguf-py writes it: the halves are joined by one. */
const half = (text: string): string => text.replaceAll(" ", "\u0120")
const mergeTexts = (pairs: ReadonlyArray<readonly [string, string]>): Pair =>
  strings("tokenizer.ggml.merges", pairs.map(([a, b]) => `${half(a)} ${half(b)}`))

const normal = (text: string): Token => ({ text, kind: kinds.normal })

/**
 * llama.cpp merges whichever pair makes the token of the best score; for that, scores fall with the merges' order.
 *
 * @param textOf a token's text in this form
 */
const sentencePiece = (json: TokenizerJson, prefix: boolean, textOf: (text: string) => string = (text) => text): Form => {
  const ranks = new Map<string, number>()
  pairsOf(json).forEach(([a, b], rank) => ranks.has(a + b) || ranks.set(a + b, -rank))
  return {
    model: "llama",
    pre: "default",
    token: (own) => {
      const text = textOf(own)
      return { text, kind: /^<0x[\dA-F]{2}>$/.test(text) ? kinds.byte : kinds.normal, score: ranks.get(own) ?? -json.model.merges.length }
    },
    more: [bool("tokenizer.ggml.add_space_prefix", prefix)]
  }
}

/** GPT-2's letters for bytes: printable ones stand for themselves, others come after U+0100, in order. */
const byteOfLetter = new Map<string, number>()
for (let byte = 0, other = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  byteOfLetter.set(String.fromCodePoint(printable ? byte : other++), byte)
}

/**
 * A text of GPT-2's letters in SentencePiece's form: characters, spaces as ▁. A byte that is no character by itself, or no
 * printable one, becomes a byte token. Undefined for a longer text that has such bytes, or the sign ▁ itself.
 */
const plainText = (letters: string): string | undefined => {
  const bytes = Uint8Array.from(letters, (letter) => byteOfLetter.get(letter) ?? 0xff)
  let text: string | undefined
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    text = undefined
  }
  if (text !== undefined && !/[^\P{Cc}\t\n\r]|▁/u.test(text)) return text.replaceAll(" ", "▁")
  return bytes.length === 1 ? `<0x${bytes[0]!.toString(16).toUpperCase().padStart(2, "0")}>` : undefined
}

/** Every way to halve what a merge makes, in the merges' order: the pairs that SentencePiece's form merges. */
const allHalves = (json: TokenizerJson): Array<readonly [string, string]> => {
  const { vocab } = json.model
  const whole = new Set(pairsOf(json).map(([a, b]) => a + b))
  return [...whole].flatMap((text) =>
    Array.from({ length: text.length - 1 }, (_, i) => [text.slice(0, i + 1), text.slice(i + 1)] as const)
      .filter(([a, b]) => Object.hasOwn(vocab, a) && Object.hasOwn(vocab, b)))
}

/** Of `otherTexts` those that have other tokens if they are not split; undefined if one of `askedTexts` has. */
const differingWhole = (json: TokenizerJson, given: Step, config: Step): number | undefined => {
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }
  const whole = { ...given, pre_tokenizer: bytes, model: { ...json.model, merges: allHalves(json) } }
  const [own, other] = [given, whole].map((json) => new Tokenizer(json, config))
  const ids = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids.join()
  const differs = (text: string) => ids(own!, text) !== ids(other!, text)
  return askedTexts.some(differs) ? undefined : otherTexts.filter(differs).length
}

const formOf = (json: TokenizerJson, given: Step, config: Step): Form | undefined => {
  const normalizer = stepsOf(json.normalizer)
  const splits = stepsOf(json.pre_tokenizer)
  const bytes = splits.at(-1)?.["type"] === "ByteLevel"
  if (!bytes) {
    const prefix = json.model.byte_fallback === true ? spacePrefix(normalizer, splits) : undefined
    return prefix === undefined ? undefined : sentencePiece(json, prefix)
  }
  if (!isPlain(normalizer)) return undefined
  const pre = splitName(splits)
  // That name also makes whole words tokens without merging, if there are such tokens.
  if (pre !== undefined && (pre === "llama-bpe") === (json.model.ignore_merges ?? false)) {
    return { model: "gpt2", pre, token: normal, more: [mergeTexts(pairsOf(json))] }
  }
  if (json.model.ignore_merges === true || Object.keys(json.model.vocab).some((text) => plainText(text) === undefined)) return undefined
  const differing = differingWhole(json, given, config)
  return differing === undefined ? undefined : { ...sentencePiece(json, false, (text) => plainText(text)!), differing }
}

/** Whether the tokenizer puts the token before any text. */
const begins = (json: TokenizerJson, bos: string): boolean => {
  const template = stepsOf(json.post_processor).find(({ type }) => type === "TemplateProcessing")
  const [first] = (template?.["single"] ?? []) as ReadonlyArray<{ readonly SpecialToken?: { readonly id: string } }>
  return bos !== "" && first?.SpecialToken?.id === bos
}

export interface GgufTokenizer {
  readonly pairs: ReadonlyArray<Pair>
  /** llama.cpp's name of the way text is split. */
  readonly pre: string
  /** How many of how many texts llama.cpp is known to cut otherwise; none of what a policy is asked. */
  readonly differing: readonly [number, number]
}

/**
 * The metadata of a folder's tokenizer and chat template, for a model of `vocab` rows. Rows that have no token get an
 * unused one. Fails with `CheckpointInvalid` if llama.cpp has no such tokenizer.
 */
export const ggufTokenizer = Effect.fn("ggufTokenizer")(function*(folder: string, vocab: number) {
  const given = yield* readJson(folder, "tokenizer.json", AnyObject)
  const json = yield* readJson(folder, "tokenizer.json", TokenizerJson)
  const config = yield* readJson(folder, "tokenizer_config.json", AnyObject)
  const template = yield* readChatTemplate(folder, config)
  const { eosIds } = yield* openTokenizer(folder)
  const at = path.join(folder, "tokenizer.json")
  const refuse = (what: string) => new CheckpointInvalid({ message: `${at} ${what}.` })
  const form = json.model.type !== undefined && json.model.type !== "BPE" ? undefined : yield* Effect.try({
    try: () => within(openSeconds, () => formOf(json, given, config)),
    catch: (cause) => refuse(`cannot be tried: ${(cause as Error).message}`)
  })
  if (form === undefined) return yield* refuse("cuts text in a way that llama.cpp does not know: export it --to onnx, which keeps the tokenizer as it is")
  const text = (value: unknown): string => typeof value === "string" ? value : (value as { content?: string } | null)?.content ?? ""
  const tokens = Array.from({ length: vocab }, (_, id): Token => ({ text: `[PAD${id}]`, kind: kinds.unused }))
  const ids = new Map<string, number>()
  const put = (id: number, content: string, token: Token) => {
    ids.set(content, id)
    tokens[id] = token
  }
  for (const [content, id] of Object.entries(json.model.vocab)) put(id, content, form.token(content))
  const unknown = text(config["unk_token"])
  for (const { content, id, special } of json.added_tokens ?? []) {
    const kind = !special ? kinds.userDefined : form.model === "llama" && content === unknown ? kinds.unknown : kinds.control
    // One that merges make too (Gemma's runs of spaces) keeps its place among them.
    put(id, content, { text: content, kind, score: special ? -1000 : form.token(content).score ?? -1000 })
  }
  if (tokens.length > vocab) return yield* refuse(`has ${tokens.length} tokens, but config.json has ${vocab}: they are not of one model`)
  const special = (name: string, id: number | undefined) => id === undefined ? [] : [uint(`tokenizer.ggml.${name}_token_id`, id)]
  const bos = text(config["bos_token"])
  const named = ids.get(text(config["eos_token"]))
  const eos = named !== undefined && eosIds.includes(named) ? named : eosIds[0] ?? named
  const pairs = [
    string("tokenizer.ggml.model", form.model),
    string("tokenizer.ggml.pre", form.pre),
    strings("tokenizer.ggml.tokens", tokens.map(({ text }) => text)),
    ints("tokenizer.ggml.token_type", tokens.map(({ kind }) => kind)),
    ...(form.model === "llama" ? [floats("tokenizer.ggml.scores", tokens.map(({ score }) => score ?? -1000))] : []),
    ...form.more,
    ...special("bos", ids.get(bos)),
    ...special("eos", eos),
    ...special("eot", eosIds.find((id) => id !== eos)),
    ...special("padding", ids.get(text(config["pad_token"]))),
    ...special("unknown", ids.get(unknown)),
    bool("tokenizer.ggml.add_bos_token", begins(json, bos)),
    bool("tokenizer.ggml.add_eos_token", false),
    string("tokenizer.chat_template", template)
  ]
  return { pairs, pre: form.pre, differing: [form.differing ?? 0, otherTexts.length] } satisfies GgufTokenizer as GgufTokenizer
})
