/** Answers as OpenAI's clients read them, whole or in chunks. */
import { randomUUID } from "node:crypto"
import { Clock, Effect, Stream } from "effect"
import type { Finish } from "../domain.ts"
import type { PolicyTokenizer } from "../model/tokenizer/tokenizer.ts"
import { Completions, type CompletionsFailed, type Piece } from "../stages/Completions.ts"
import type { ChatChunk, ChatCompletion, ChatLogprobs, TextChunk, TextCompletion, TextLogprobs, Usage } from "./api.ts"
import { figures } from "./figures.ts"
import { refuse, type Refusal } from "./refusals.ts"
import type { Wanted } from "./request.ts"

/** What one choice of an answer has gained. */
export interface Grown {
  readonly index: number
  readonly text: string
  readonly piece: Piece
  /** Whether it is the first of this choice. */
  readonly first: boolean
  readonly finish: "stop" | "length" | null
}

const reasonOf = (finish: Finish): "stop" | "length" => (finish === "length" ? "length" : "stop")

/** Begins all prompts, or none. The choices of prompt p are p * n to p * n + n - 1. */
export const begin = Effect.fnUntraced(function*({ before, begins, n }: Wanted) {
  const completions = yield* Completions
  const streams = yield* Effect.forEach(begins, (request) => completions.complete(request)).pipe(
    Effect.catchTags({
      CompletionsFull: ({ message }) => Effect.fail(refuse("tooMany", message, null, "server_overloaded")),
      CompletionsFailed: ({ message }) => Effect.fail(refuse("failed", message)),
      // It was unloaded since its name was looked up.
      AdapterUnknown: ({ name }) => Effect.fail(refuse("missing", `There is no model "${name}" any more.`, "model", "model_not_found"))
    })
  )
  yield* figures.began(begins)
  return Stream.mergeAll(
    streams.map((pieces, prompt) => {
      const told = new Set<number>()
      return pieces.pipe(
        Stream.map((piece): Grown => {
          const first = !told.has(piece.index)
          told.add(piece.index)
          return {
            index: prompt * n + piece.index,
            text: first ? before[prompt]! + piece.text : piece.text,
            piece,
            first,
            finish: piece.finish === undefined ? null : reasonOf(piece.finish)
          }
        }),
        Stream.tap(({ piece }) => figures.gained(piece))
      )
    }),
    { concurrency: "unbounded" }
  )
})

const usageOf = ({ begins }: Wanted, drawn: number): typeof Usage.Type => {
  const asked = begins.reduce((sum, { ids }) => sum + ids.length, 0)
  return { prompt_tokens: asked, completion_tokens: drawn, total_tokens: asked + drawn }
}

/** Text of a token alone, and its bytes if it is text alone. */
const tokenOf = ({ tokenTexts }: PolicyTokenizer) => (id: number, logprob: number) => {
  const token = tokenTexts[id] ?? ""
  return { token, logprob: finite(logprob), bytes: token.includes("\uFFFD") ? null : [...Buffer.from(token)] }
}

/** JSON has no infinity: a probability that is 0 in float32. */
const finite = (logp: number): number => Math.max(logp, -9999)

const chatLogprobs = (tokenizer: PolicyTokenizer, { ids, logps, top }: Piece): typeof ChatLogprobs.Type => ({
  content: ids.map((id, i) => ({
    ...tokenOf(tokenizer)(id, logps[i]!),
    top_logprobs: (top[i] ?? []).map(([other, logp]) => tokenOf(tokenizer)(other, logp))
  }))
})

/** @param offset of the first token's text in the answer, characters */
const textLogprobs = (tokenizer: PolicyTokenizer, { drawnLogps, ids, logps, top }: Piece, offset: number, processed: boolean): typeof TextLogprobs.Type => {
  const tokens = ids.map((id) => tokenizer.tokenTexts[id] ?? "")
  let at = offset
  return {
    tokens,
    token_logprobs: logps.map(finite),
    ...(processed ? { processed_logprobs: drawnLogps.map(finite) } : {}),
    top_logprobs: top.map((places) => Object.fromEntries(places.map(([id, logp]) => [tokenizer.tokenTexts[id] ?? "", finite(logp)]))),
    text_offset: tokens.map(({ length }) => (at += length) - length)
  }
}

interface Form<Whole, Choice, Change> {
  readonly object: { readonly whole: Whole; readonly chunk: string }
  readonly id: string
  /** A whole choice. */
  readonly choice: (index: number, text: string, piece: Piece, finish: "stop" | "length", before: number) => Choice
  /** What a choice has gained; undefined: nothing to tell. @param offset characters that were told before */
  readonly change: (grown: Grown, offset: number, before: number) => Change | undefined
}

const withLogprobs = ({ begins }: Wanted): boolean => begins[0]!.topLogprobs !== undefined

export const chatForm = (tokenizer: PolicyTokenizer, wanted: Wanted) => {
  const logprobs = (piece: Piece) => (withLogprobs(wanted) ? chatLogprobs(tokenizer, piece) : null)
  return {
    object: { whole: "chat.completion" as const, chunk: "chat.completion.chunk" },
    id: "chatcmpl-",
    choice: (index, text, piece, finish) => ({
      index,
      message: { role: "assistant" as const, content: text, refusal: null },
      logprobs: logprobs(piece),
      finish_reason: finish
    }),
    change: ({ finish, first, index, piece, text }) =>
      text === "" && finish === null && !first && !withLogprobs(wanted) ? undefined : {
        index,
        delta: { ...(first ? { role: "assistant" as const } : {}), ...(text === "" && !first ? {} : { content: text }) },
        logprobs: logprobs(piece),
        finish_reason: finish
      }
  } satisfies Form<"chat.completion", (typeof ChatCompletion.Type)["choices"][number], (typeof ChatChunk.Type)["choices"][number]>
}

export const textForm = (tokenizer: PolicyTokenizer, wanted: Wanted) => {
  const logprobs = (piece: Piece, offset: number) => (withLogprobs(wanted) ? textLogprobs(tokenizer, piece, offset, wanted.processed) : null)
  const tokens = (index: number, { ids }: Piece, first: boolean) =>
    !wanted.tokenIds ? {} : { ...(first ? { prompt_token_ids: wanted.begins[Math.floor(index / wanted.n)]!.ids } : {}), token_ids: ids }
  return {
    object: { whole: "text_completion" as const, chunk: "text_completion" },
    id: "cmpl-",
    choice: (index, text, piece, finish, before) => ({ index, text, logprobs: logprobs(piece, before), finish_reason: finish, ...tokens(index, piece, true) }),
    change: ({ finish, first, index, piece, text }, offset, before) =>
      text === "" && finish === null && !withLogprobs(wanted) && !wanted.tokenIds
        ? undefined
        : { index, text, logprobs: logprobs(piece, offset + (first ? before : 0)), finish_reason: finish, ...tokens(index, piece, first) }
  } satisfies Form<"text_completion", (typeof TextCompletion.Type)["choices"][number], (typeof TextChunk.Type)["choices"][number]>
}

const head = Effect.fnUntraced(function*(id: string, model: string) {
  return { id: id + randomUUID().replaceAll("-", ""), created: Math.floor((yield* Clock.currentTimeMillis) / 1000), model }
})

/** All choices, once each has ended. */
export const whole = Effect.fnUntraced(function*<Whole, Choice>(form: Form<Whole, Choice, unknown>, wanted: Wanted, grown: Stream.Stream<Grown, CompletionsFailed>) {
  const texts: Array<string> = []
  const pieces: Array<{ ids: Array<number>; logps: Array<number>; drawnLogps: Array<number>; top: Array<Piece["top"][number]> }> = []
  const ends: Array<"stop" | "length"> = []
  yield* Stream.runForEach(grown, ({ finish, index, piece, text }) =>
    Effect.sync(() => {
      texts[index] = (texts[index] ?? "") + text
      const own = (pieces[index] ??= { ids: [], logps: [], drawnLogps: [], top: [] })
      own.ids.push(...piece.ids)
      own.logps.push(...piece.logps)
      own.drawnLogps.push(...piece.drawnLogps)
      own.top.push(...piece.top)
      if (finish !== null) ends[index] = finish
    })).pipe(Effect.mapError(({ message }) => refuse("failed", message)))
  return {
    ...(yield* head(form.id, wanted.model)),
    object: form.object.whole,
    choices: texts.map((text, index) =>
      form.choice(index, text, { index, text, finish: undefined, ...pieces[index]! }, ends[index]!, wanted.before[Math.floor(index / wanted.n)]!.length)
    ),
    usage: usageOf(wanted, pieces.reduce((sum, { ids }) => sum + ids.length, 0))
  }
})

const event = (data: unknown): string => `data: ${JSON.stringify(data)}\n\n`

/** Chunks as server-sent events. An error after the first chunk is an event too. */
export const chunks = Effect.fnUntraced(function*(
  form: Form<string, unknown, unknown>,
  wanted: Wanted,
  grown: Stream.Stream<Grown, CompletionsFailed>,
  includeUsage: boolean
) {
  const { created, id, model } = yield* head(form.id, wanted.model)
  const common = { id, object: form.object.chunk, created, model }
  const offsets: Array<number> = []
  let drawn = 0
  return grown.pipe(
    Stream.map((grown) => {
      const { index, piece, text } = grown
      drawn += piece.ids.length
      const change = form.change(grown, offsets[index] ?? 0, wanted.before[Math.floor(index / wanted.n)]!.length)
      offsets[index] = (offsets[index] ?? 0) + text.length
      return change === undefined ? "" : event({ ...common, choices: [change], ...(includeUsage ? { usage: null } : {}) })
    }),
    Stream.filter((text) => text !== ""),
    Stream.concat(Stream.suspend(() =>
      Stream.fromIterable([...(includeUsage ? [event({ ...common, choices: [], usage: usageOf(wanted, drawn) })] : []), "data: [DONE]\n\n"])
    )),
    Stream.catch(({ message }) => Stream.succeed(event(refuse("failed", message) satisfies Refusal))),
    Stream.encodeText
  )
})
