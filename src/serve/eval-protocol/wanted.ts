/** What a rollout asks to be drawn: a chat completion's request, read in the same way, with the same refusals. */
import { Effect, Schema } from "effect"
import { ChatRequest } from "../api.ts"
import { refuse, type Refusal, said } from "../refusals.ts"
import { chatWanted, type Served } from "../request.ts"
import type { InitRequest } from "./api.ts"

/** Clients that go through LiteLLM put this before the name of a model of any server that speaks OpenAI's API. */
const liteLlm = "openai/"

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value)

export const rolloutWanted = Effect.fnUntraced(function*(served: Served, { completion_params, messages, tools }: InitRequest) {
  // A rollout is never streamed: that changes nothing but how an answer is sent.
  const { extra_body, stream: _, stream_options: __, ...params } = completion_params ?? {}
  const asked = yield* Schema.decodeUnknownEffect(ChatRequest)({
    ...params,
    ...(isObject(extra_body) ? extra_body : {}),
    messages: messages ?? [],
    tools: tools ?? []
  }).pipe(Effect.mapError((error): Refusal => refuse("invalid", `The rollout's completion_params or messages cannot be read: ${said(error)}`)))
  if ((asked.n ?? 1) !== 1) return yield* Effect.fail(refuse("invalid", "n is not 1: a rollout is one drawing, so ask for more runs.", "n"))
  return yield* chatWanted(served, { ...asked, model: yield* nameIn(served, asked.model ?? undefined) })
})

const nameIn = ({ shelf }: Served, model: string | undefined): Effect.Effect<string | undefined, Refusal> =>
  model?.startsWith(liteLlm) === true
    ? shelf.named(model).pipe(Effect.as(model), Effect.catch(() => Effect.succeed(model.slice(liteLlm.length))))
    : Effect.succeed(model)
