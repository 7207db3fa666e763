/** What a request asks to be drawn. */
import { Effect, Random } from "effect"
import type { SamplingOptions } from "../engine/sampling/sampling.ts"
import { tokenizing } from "../model/tokenizer/limits.ts"
import { type Message as ChatMessage, type PolicyTokenizer, type PromptFormat, userText } from "../model/tokenizer/tokenizer.ts"
import { type CompletionRequest as Begin, completionSeed } from "../stages/Completions.ts"
import type { ChatRequest, CompletionRequest } from "./api.ts"
import { refuse, type Refusal } from "./refusals.ts"
import type { Shelf } from "./shelf.ts"

/** What is served, and how it is asked. */
export interface Served {
  readonly tokenizer: PolicyTokenizer
  /** How a chat is put to the policy where the client leaves it open. */
  readonly format: PromptFormat
  /** An answer ends after this text, which belongs to it; empty: none. */
  readonly stop: string
  /** Most tokens of prompt and completion together. */
  readonly maxLength: number
  readonly shelf: Shelf
}

export interface Wanted {
  /** The model's name as the client gave it. */
  readonly model: string
  /** One for each prompt. */
  readonly begins: ReadonlyArray<Begin>
  /** What each prompt's answers begin with: not drawn, but told. */
  readonly before: ReadonlyArray<string>
  /** Completions of each prompt. */
  readonly n: number
  /** Whether tokens are told by their numbers. */
  readonly tokenIds: boolean
  /** Whether log-probabilities under what was drawn from are told too. */
  readonly processed: boolean
}

type Common =
  & Pick<ChatRequest, Exclude<Extract<keyof ChatRequest, keyof CompletionRequest>, "logprobs">>
  & Partial<Pick<ChatRequest, "response_format" | "tools">>
  & Partial<Pick<CompletionRequest, "return_processed_logprobs" | "return_token_ids" | "seeds" | "suffix">>

/** Where a client asks for what would change its answer and is not to be had. */
const unsupported = (o: Common): Refusal | undefined => {
  const no = (field: string) => refuse("invalid", `${field} is not supported here: leave it out.`, field, "unsupported_parameter")
  if ((o.frequency_penalty ?? 0) !== 0) return no("frequency_penalty")
  if ((o.presence_penalty ?? 0) !== 0) return no("presence_penalty")
  if (Object.keys(o.logit_bias ?? {}).length > 0) return no("logit_bias")
  if ((o.response_format?.type ?? "text") !== "text") return no("response_format")
  if ((o.tools ?? []).length > 0) return no("tools")
  if ((o.suffix ?? "") !== "") return no("suffix")
  return undefined
}

const optionsOf = (o: Common): SamplingOptions => ({
  temperature: o.temperature ?? 1,
  topK: Math.max(0, o.top_k ?? 0),
  topP: o.top_p ?? 1,
  minP: o.min_p ?? 0,
  repetitionPenalty: o.repetition_penalty ?? 1
})

/** No token stands for more characters than this on average: longer prompts are refused before they are tokenized. */
const mostCharactersAToken = 32

const tokens = (served: Served, text: string) => {
  const { maxLength, tokenizer } = served
  return text.length > mostCharactersAToken * maxLength
    ? Effect.fail(tooLong(maxLength, `${text.length} characters`))
    : tokenizing(() => tokenizer.encode(text)).pipe(
      Effect.mapError(() => refuse("invalid", "The model's tokenizer does not take this text."))
    )
}

const tooLong = (maxLength: number, length: string): Refusal =>
  refuse("invalid", `The prompt has ${length}; prompt and answer together may have ${maxLength} tokens.`, null, "context_length_exceeded")

interface Prompt {
  readonly ids: ReadonlyArray<number>
  readonly before: string
}

/** @param limit most tokens of an answer, if the client says so */
const wanted = Effect.fnUntraced(function*(served: Served, o: Common, prompts: ReadonlyArray<Prompt>, limit: number | undefined, topLogprobs: number | undefined) {
  const refused = unsupported(o)
  if (refused !== undefined) return yield* Effect.fail(refused)
  const { maxLength, shelf, stop } = served
  const { adapter, model } = yield* shelf.named(o.model ?? undefined)
  const own = typeof o.stop === "string" ? [o.stop] : o.stop ?? []
  const stops = own.filter((text) => text !== "")
  const n = o.n ?? 1
  const { seeds } = o
  if (seeds != null && seeds.length !== prompts.length * n) {
    return yield* Effect.fail(refuse("invalid", `seeds has ${seeds.length} keys for ${prompts.length * n} completions: give one for each.`, "seeds"))
  }
  const seed = o.seed ?? (yield* Random.nextInt)
  const options = optionsOf(o)
  const long = prompts.find(({ ids }) => ids.length >= maxLength)
  if (long !== undefined) return yield* Effect.fail(tooLong(maxLength, `${long.ids.length} tokens`))
  return {
    model,
    before: prompts.map(({ before }) => before),
    n,
    tokenIds: o.return_token_ids === true,
    processed: o.return_processed_logprobs === true,
    begins: prompts.map(({ ids }, at): Begin => ({
      adapter,
      ids,
      options,
      topLogprobs,
      stops: stop === "" ? stops : [stop, ...stops],
      cut: o.include_stop_str_in_output === true ? [] : stops,
      limit: Math.min(limit ?? Infinity, maxLength - ids.length),
      seeds: Array.from({ length: n }, (_, i) => seeds?.[at * n + i] ?? completionSeed(seed, at * n + i))
    }))
  } satisfies Wanted as Wanted
})

const textOf = (content: ChatRequest["messages"][number]["content"]): Effect.Effect<string, Refusal> => {
  if (content === null || typeof content === "string") return Effect.succeed(content ?? "")
  const other = content.find(({ type }) => type !== "text")
  return other === undefined
    ? Effect.succeed(content.map(({ text = "" }) => text).join(""))
    : Effect.fail(refuse("invalid", `A message has a part of type "${other.type.slice(0, 40)}": this model reads text alone.`, "messages"))
}

/**
 * A chat as the policy was trained to read it. The last user message is put into the server's template, its system message is
 * used where the client has none, and answers begin with its prefill, unless the last message is the assistant's: that is
 * continued, and not told again.
 */
export const chatWanted = Effect.fnUntraced(function*(served: Served, o: ChatRequest) {
  const { format, maxLength, tokenizer } = served
  const messages: Array<ChatMessage> = []
  for (const { content, role } of o.messages) messages.push({ role: role === "developer" ? "system" : role, content: yield* textOf(content) })
  const length = messages.reduce((sum, { content }) => sum + content.length, 0)
  if (length > mostCharactersAToken * maxLength) return yield* Effect.fail(tooLong(maxLength, `${length} characters`))
  const continued = messages.at(-1)!.role === "assistant" ? messages.pop()!.content : undefined
  const last = messages.findLastIndex(({ role }) => role === "user")
  if (last < 0) return yield* Effect.fail(refuse("invalid", "No message is the user's: there is nothing to draw.", "messages"))
  messages[last] = { role: "user", content: userText(format, messages[last]!.content) }
  if (format.systemPrompt !== "" && messages[0]!.role !== "system") messages.unshift({ role: "system", content: format.systemPrompt })
  const before = continued ?? format.prefill
  const ids = yield* Effect.flatMap(
    Effect.mapError(tokenizing(() => tokenizer.chat(messages)), () => refuse("invalid", "The model's chat template does not take these messages.", "messages")),
    (text) => tokens(served, text + before)
  )
  return yield* wanted(
    served,
    o,
    [{ ids, before: continued === undefined ? format.prefill : "" }],
    o.max_completion_tokens ?? o.max_tokens ?? undefined,
    o.logprobs === true ? o.top_logprobs ?? 0 : undefined
  )
})

/** Texts or tokens, continued as they are. */
export const textWanted = Effect.fnUntraced(function*(served: Served, o: CompletionRequest) {
  const { tokenizer } = served
  const given = typeof o.prompt === "string"
    ? [o.prompt]
    : typeof o.prompt[0] === "number"
    ? [o.prompt as ReadonlyArray<number>]
    : o.prompt as ReadonlyArray<string | ReadonlyArray<number>>
  const size = tokenizer.tokenTexts.length
  const prompts: Array<Prompt> = []
  for (const prompt of given) {
    const ids = typeof prompt === "string" ? yield* tokens(served, prompt) : prompt
    if (ids.length === 0) return yield* Effect.fail(refuse("invalid", "A prompt is empty: there is nothing to continue.", "prompt"))
    if (ids.some((id) => id < 0 || id >= size)) {
      return yield* Effect.fail(refuse("invalid", `A prompt has a token that the model does not have: 0 to ${size - 1} are known.`, "prompt"))
    }
    const text = typeof prompt === "string" ? Effect.succeed(prompt) : Effect.mapError(tokenizing(() => tokenizer.decode(ids)), () => refuse("invalid", "These tokens are no text.", "prompt"))
    prompts.push({ ids, before: o.echo === true ? yield* text : "" })
  }
  return yield* wanted(served, o, prompts, o.max_tokens ?? undefined, o.logprobs ?? undefined)
})
