/**
 * The tokenizer of a model folder and its chat template: from a prompt's text to the tokens the policy continues.
 *
 * The assistant prefill (an opened `<svg ...>` tag) is part of the prompt: the policy need not write it and is never
 * trained on it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Tokenizer } from "@huggingface/tokenizers"
import { Effect, Schema } from "effect"
import { CheckpointInvalid, readJson } from "../model-folder.ts"
import { within } from "../../system/time-limit.ts"
import { correctBytes } from "./byte-fallback.ts"
import { openTemplate } from "./chat-template.ts"
import { limitedIn, openSeconds, secondsFor } from "./limits.ts"

export interface PromptFormat {
  /** Text of the system message; empty means no system message. */
  readonly systemPrompt: string
  /** Text of the user message; `{prompt}` stands for the prompt. */
  readonly promptTemplate: string
  /** How the assistant's answer begins. */
  readonly prefill: string
}

/** An opened tag: the policy decides what comes after it. */
export const defaultPrefill = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\">"
export const defaultFormat: PromptFormat = { systemPrompt: "", promptTemplate: "{prompt}", prefill: defaultPrefill }

export interface Message {
  readonly role: string
  readonly content: string
}

/**
 * Its functions throw `CheckpointInvalid` if the folder's tokenizer or template does not finish with a text, or refuses
 * it: `tokenizing` (limits.ts) makes that a failure.
 */
export interface PolicyTokenizer {
  readonly encode: (text: string) => Array<number>
  readonly decode: (ids: ReadonlyArray<number>) => string
  /** The text with its special tokens written out, which `encode` reads back as the same tokens if no other cut of it exists. */
  readonly spelled: (ids: ReadonlyArray<number>) => string
  /** Runs work that decodes many times under one time limit: each limit costs more than decoding a few tokens. */
  readonly limited: <A>(work: () => A) => A
  /** The messages as the model was trained to read them, up to where the assistant's answer begins. */
  readonly chat: (messages: ReadonlyArray<Message>) => string
  /** Tokens that end an answer. */
  readonly eosIds: ReadonlyArray<number>
  /** Text of each token alone; bytes that are not text alone become the replacement character. */
  readonly tokenTexts: ReadonlyArray<string>
}

const AnyObject = Schema.Record(Schema.String, Schema.Unknown)
const EosJson = Schema.Struct({ eos_token_id: Schema.optionalKey(Schema.Unknown) })

/** Fails with `CheckpointInvalid` if a tokenizer file is missing or broken, or if there is no chat template. */
export const openTokenizer = Effect.fn("openTokenizer")(function*(folder: string) {
  const json = yield* readJson(folder, "tokenizer.json", AnyObject)
  const config = yield* readJson(folder, "tokenizer_config.json", AnyObject)
  const source = yield* readChatTemplate(folder, config)
  const template = yield* Effect.try({
    try: () => within(secondsFor(0), () => openTemplate(source)),
    catch: (cause) => new CheckpointInvalid({ message: `${folder}: the chat template is broken: ${(cause as Error).message}.` })
  })
  const tokenizer = yield* Effect.try({
    try: () => within(openSeconds, () => new Tokenizer(json, config)),
    catch: (cause) =>
      new CheckpointInvalid({ message: `${path.join(folder, "tokenizer.json")} is not a tokenizer: ${(cause as Error).message}.` })
  })
  correctBytes(tokenizer.decoder)
  const text = (value: unknown): string =>
    typeof value === "string" ? value : (value as { content?: string } | null)?.content ?? ""
  const eosIds = yield* eosOf(folder, tokenizer.token_to_id(text(config["eos_token"])))
  let size = 0
  for (const id of tokenizer.get_vocab(true).values()) size = Math.max(size, id + 1)
  // Removed here, not by the library: it searches a list for each token, and Gemma's list has thousands.
  const special = new Set<number>()
  for (const [id, token] of tokenizer.get_added_tokens_decoder()) if (token.special) special.add(id)
  const limited = limitedIn(folder)
  const decode = (given: ReadonlyArray<number>) => {
    const ids = given.filter((id) => id < size && !special.has(id)) // a model may have more rows than its tokenizer tokens
    return ids.length === 0 ? "" : tokenizer.decode(ids, { clean_up_tokenization_spaces: false })
  }
  let texts: ReadonlyArray<string> | undefined
  return {
    encode: (text) =>
      text === "" ? [] : limited("the tokenizer", () => tokenizer.encode(text, { add_special_tokens: false }).ids, secondsFor(text.length)),
    decode: (ids) => limited("the tokenizer", () => decode(ids), secondsFor(ids.length)),
    spelled: (ids) =>
      ids.length === 0 ? "" : limited("the tokenizer", () => tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false }), secondsFor(ids.length)),
    limited: (work) => limited("the tokenizer", work, secondsFor(0)),
    chat: (messages) =>
      limited("the chat template", () =>
        template({
          messages,
          add_generation_prompt: true,
          enable_thinking: false, // Qwen3's switch: drawings need no thinking block
          bos_token: text(config["bos_token"]),
          eos_token: text(config["eos_token"])
        }), secondsFor(messages.reduce((sum, { content }) => sum + content.length, 0))),
    eosIds,
    get tokenTexts() {
      return texts ??= limited("the tokenizer", () => Array.from({ length: size }, (_, id) => decode([id])), openSeconds)
    }
  } satisfies PolicyTokenizer as PolicyTokenizer
})

/** The template's source. Fails with `CheckpointInvalid` if there is none. @param config tokenizer_config.json */
export const readChatTemplate = Effect.fnUntraced(function*(folder: string, config: Readonly<Record<string, unknown>>) {
  const file = path.join(folder, "chat_template.jinja")
  if (fs.existsSync(file)) return fs.readFileSync(file, "utf8")
  const value = config["chat_template"]
  if (typeof value === "string") return value
  return yield* new CheckpointInvalid({
    message: `${folder} has no chat template (neither chat_template.jinja nor "chat_template" in tokenizer_config.json): take an instruct model, or add one.`
  })
})

const eosOf = Effect.fnUntraced(function*(folder: string, fallback: number | undefined) {
  for (const file of ["generation_config.json", "config.json"]) {
    if (!fs.existsSync(path.join(folder, file))) continue
    const { eos_token_id: id } = yield* readJson(folder, file, EosJson)
    const ids = (Array.isArray(id) ? id : [id]).filter((x): x is number => typeof x === "number")
    if (ids.length > 0) return ids
  }
  return fallback === undefined ? [] : [fallback]
})

/** The user message that asks for a prompt. */
export const userText = ({ promptTemplate }: Pick<PromptFormat, "promptTemplate">, prompt: string): string =>
  promptTemplate.replace("{prompt}", () => prompt)

/** The tokens the policy is asked to continue: chat template, then prefill. */
export const promptIds = (tokenizer: PolicyTokenizer, format: PromptFormat, prompt: string): Array<number> => {
  const system = format.systemPrompt === "" ? [] : [{ role: "system", content: format.systemPrompt }]
  const user = { role: "user", content: userText(format, prompt) }
  return tokenizer.encode(tokenizer.chat([...system, user]) + format.prefill)
}
