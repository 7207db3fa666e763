/** What each endpoint does. */
import { Clock, Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { begin, chatForm, chunks, textForm, whole } from "./answer.ts"
import { Api, type ChatRequest, type CompletionRequest } from "./api.ts"
import { figures } from "./figures.ts"
import { chatWanted, type Served, textWanted } from "./request.ts"

const sse = { "content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no" }
const streamOf = (body: Parameters<typeof HttpServerResponse.stream>[0]) => HttpServerResponse.stream(body, { headers: sse })
const wantsUsage = ({ stream_options }: ChatRequest | CompletionRequest) => stream_options?.include_usage === true

export const openAi = (served: Served) =>
  HttpApiBuilder.group(Api, "openai", Effect.fn(function*(handlers) {
    const { maxLength, shelf, tokenizer } = served
    const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const card = (adapter: string | undefined) => ({
      id: adapter ?? shelf.base,
      object: "model" as const,
      created,
      owned_by: "vequinox",
      parent: adapter === undefined ? null : shelf.base,
      max_model_len: maxLength
    })
    return handlers.handleAll({
      models: () => Effect.sync(() => ({ object: "list" as const, data: [undefined, ...shelf.adapters()].map(card) })),
      model: ({ params }) => Effect.map(shelf.named(params.model), ({ adapter }) => card(adapter)),
      chat: Effect.fnUntraced(function*({ payload }) {
        yield* figures.counted("chat")
        const wanted = yield* chatWanted(served, payload)
        const grown = yield* begin(wanted)
        const form = chatForm(tokenizer, wanted)
        return payload.stream === true
          ? streamOf(yield* chunks(form, wanted, grown, wantsUsage(payload)))
          : yield* whole(form, wanted, grown)
      }),
      completions: Effect.fnUntraced(function*({ payload }) {
        yield* figures.counted("completions")
        const wanted = yield* textWanted(served, payload)
        const grown = yield* begin(wanted)
        const form = textForm(tokenizer, wanted)
        return payload.stream === true
          ? streamOf(yield* chunks(form, wanted, grown, wantsUsage(payload)))
          : yield* whole(form, wanted, grown)
      })
    })
  }))

export const adapters = ({ shelf }: Served) =>
  HttpApiBuilder.group(Api, "adapters", (handlers) =>
    Effect.succeed(handlers.handleAll({
      load: ({ payload: { load_inplace, lora_name, lora_path } }) =>
        Effect.as(shelf.load(lora_name, lora_path, load_inplace === true), `Success: LoRA adapter '${lora_name}' added successfully.`),
      unload: ({ payload: { lora_name } }) =>
        Effect.as(shelf.unload(lora_name), `Success: LoRA adapter '${lora_name}' removed successfully.`)
    })))

export const watching = HttpApiBuilder.group(Api, "watching", (handlers) => Effect.succeed(handlers.handleAll({ metrics: () => figures.text })))

export const health = HttpApiBuilder.group(Api, "health", (handlers) => Effect.succeed(handlers.handleAll({ health: () => Effect.void })))
