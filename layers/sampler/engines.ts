/** Which engine a server is, found out by asking it. */
import { Effect, Schema } from "effect"
import type { Engine } from "./engine.ts"
import { vequinox, vllm } from "./engine-openai.ts"
import { sglang } from "./engine-sglang.ts"
import { type Caller, failureOf, ServerRefused } from "./server-call.ts"

export const engines = { vllm, sglang, vequinox } as const
export const engineNames = ["auto", "vllm", "sglang", "vequinox"] as const
export type EngineName = typeof engineNames[number]

const Models = Schema.fromJsonString(Schema.Struct({
  data: Schema.Array(Schema.Struct({
    id: Schema.String,
    owned_by: Schema.optionalKey(Schema.NullOr(Schema.String)),
    max_model_len: Schema.optionalKey(Schema.NullOr(Schema.Int))
  }))
}))

/** Where each engine says what it is, in case a proxy answers for its list of models. */
const probes = [["/version", "vllm"], ["/get_model_info", "sglang"]] as const

export interface Met {
  readonly engine: Engine
  /** What it serves, adapters too. */
  readonly models: ReadonlyArray<string>
  /** Most tokens of prompt and completion together, if it says so. */
  readonly maxLength: number | undefined
}

/** @param name given by the user; `auto` asks */
export const meet = Effect.fnUntraced(function*(caller: Caller, name: EngineName) {
  const listed = yield* caller.call("/v1/models")
  if (listed.status !== 200) return yield* failureOf(caller, listed)
  const { data } = yield* Effect.mapError(Schema.decodeUnknownEffect(Models)(listed.body), () =>
    new ServerRefused({ message: `${caller.where} does not list its models at /v1/models: is --sampler-url the address of vLLM, SGLang or vequinox serve?` }))
  const lengths = data.flatMap(({ max_model_len }) => (max_model_len == null ? [] : [max_model_len]))
  const met = (engine: Engine): Met => ({
    engine,
    models: data.map(({ id }) => id),
    maxLength: lengths.length === 0 ? undefined : Math.min(...lengths)
  })
  if (name !== "auto") return met(engines[name])
  const owner = data.map(({ owned_by }) => owned_by).find((owner): owner is keyof typeof engines => owner != null && Object.hasOwn(engines, owner))
  if (owner !== undefined) return met(engines[owner])
  for (const [path, engine] of probes) if ((yield* caller.call(path)).status === 200) return met(engines[engine])
  return yield* new ServerRefused({ message: `${caller.where} does not say which engine it is: give --sampler-flavour (vllm, sglang, vequinox).` })
})
