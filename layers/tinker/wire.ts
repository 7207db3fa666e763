/**
 * The Tinker protocol as SkyRL serves it, JSON over HTTP under /api/v1: what is asked, and what of the answers is read. Written
 * from SkyRL's own server (skyrl/tinker/api.py, and skyrl-tx 0.3.0 as it runs).
 */
import { Schema } from "effect"

/** One sequence for a forward pass: position t reads `model_input[t]` and is scored on `target_tokens[t]`, the token after it. */
export interface Datum {
  readonly model_input: { readonly chunks: ReadonlyArray<{ readonly type: "encoded_text"; readonly tokens: ReadonlyArray<number> }> }
  readonly loss_fn_inputs: Readonly<Record<string, { readonly data: ReadonlyArray<number>; readonly dtype: "int64" | "float32"; readonly shape: ReadonlyArray<number> }>>
}

const floats = (data: ReadonlyArray<number>) => ({ data, dtype: "float32", shape: [data.length] }) as const
const ints = (data: ReadonlyArray<number>) => ({ data, dtype: "int64", shape: [data.length] }) as const
export const textChunk = (tokens: ReadonlyArray<number>) => ({ chunks: [{ type: "encoded_text", tokens }] }) as const

/** @param ids at least 2: the first is read, the last is only a target */
export const datumOf = (ids: ReadonlyArray<number>, inputs: Readonly<Record<string, ReadonlyArray<number>>> = {}): Datum => ({
  model_input: textChunk(ids.slice(0, -1)),
  loss_fn_inputs: {
    target_tokens: ints(ids.slice(1)),
    ...Object.fromEntries(Object.entries(inputs).map(([name, data]) => [name, floats(data)]))
  }
})

/** A number that JSON may not hold comes as null. */
const Numbers = Schema.Array(Schema.NullOr(Schema.Finite))

export const Capabilities = Schema.Struct({
  supported_models: Schema.Array(Schema.Struct({ model_name: Schema.String }))
})
export const Session = Schema.Struct({ session_id: Schema.String })
/** A result that will come. */
export const Promised = Schema.Struct({ request_id: Schema.String })
export const NewModel = Schema.Struct({ request_id: Schema.String, model_id: Schema.String })
export const Scored = Schema.Struct({
  loss_fn_outputs: Schema.Array(Schema.Struct({ logprobs: Schema.Struct({ data: Numbers }) }))
})
export const Saved = Schema.Struct({ path: Schema.String.check(Schema.isPattern(/^tinker:\/\/[\w:-]+\/[\w/-]+$/)) })
export const Sampled = Schema.Struct({
  sequences: Schema.Array(Schema.Struct({ tokens: Schema.Array(Schema.Int), logprobs: Schema.NullOr(Numbers) }))
})
/** Of a result that holds nothing that is read. */
export const Done = Schema.Unknown

/** Another server's way to say: ask again. */
export const isAgain = (body: unknown): boolean =>
  typeof body === "object" && body !== null && (body as { readonly type?: unknown }).type === "try_again"
