/**
 * What the real models take, count and charge, by their documentation. It is written down apart from the program's own
 * table (layers/guide/claude-models.ts): a wrong row there fails against the loopback server.
 */
export interface RequestBody {
  readonly model: string
  readonly max_tokens: number
  readonly system: string
  readonly temperature?: number
  readonly top_p?: number
  readonly top_k?: number
  readonly output_config: { readonly format: { readonly schema: Readonly<Record<string, unknown>> }; readonly effort?: string }
  readonly messages: ReadonlyArray<{
    readonly role: "user" | "assistant"
    readonly content: ReadonlyArray<
      | { readonly type: "text"; readonly text: string }
      | { readonly type: "image"; readonly source: { readonly data: string } }
    >
  }>
}

interface Rules {
  /** USD per million tokens. */
  readonly price: { readonly input: number; readonly output: number }
  /** Whether it takes temperature, top_p, top_k and the beginning of its own answer. */
  readonly sampling: boolean
  /** Tokens that it thinks at each effort it takes; undefined: it takes no effort. */
  readonly efforts?: Readonly<Record<string, number>>
  /** Tokens that it thinks where no effort is given. */
  readonly thinks: number
}

const haiku45: Rules = { price: { input: 1, output: 5 }, sampling: true, thinks: 0 }
const rules: ReadonlyMap<string, Rules> = new Map([
  ["claude-haiku-4-5", haiku45],
  ["claude-haiku-4-5-20251001", haiku45],
  ["claude-haiku-5-5", {
    price: { input: 0.1, output: 0.5 },
    sampling: false,
    efforts: { low: 600, medium: 5000, high: 9000, xhigh: 20_000, max: 60_000 },
    thinks: 5000
  }],
  // One that the program has no row of.
  ["claude-next", { price: { input: 2, output: 10 }, sampling: false, thinks: 5000 }]
])

/** Bounds that a schema of structured output may not have. */
const bounds = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems", "uniqueItems"]

/** The first bound in a schema; a property may be called so. */
const boundIn = (schema: unknown): string | undefined => {
  if (typeof schema !== "object" || schema === null) return undefined
  const { properties = {}, ...rest } = schema as { readonly properties?: object }
  return Object.keys(rest).find((key) => bounds.includes(key)) ?? [...Object.values(properties), ...Object.values(rest)].map(boundIn).find((found) => found !== undefined)
}

/** Why the API does not take a request; undefined if it does. */
export const whyRefused = (
  { max_tokens, messages, model, output_config: { effort, format: { schema } }, ...rest }: RequestBody
): { readonly status: number; readonly type: string; readonly message: string } | undefined => {
  const rule = rules.get(model)
  if (rule === undefined) return { status: 404, type: "not_found_error", message: `model: ${model}` }
  const invalid = (message: string) => ({ status: 400, type: "invalid_request_error", message })
  const bound = boundIn(schema)
  if (bound !== undefined) return invalid(`output_config.format.schema: property '${bound}' is not supported`)
  const sampled = ["temperature", "top_p", "top_k"].find((name) => name in rest)
  if (!rule.sampling && sampled !== undefined) return invalid(`${sampled} is not supported on this model`)
  if (!rule.sampling && messages.at(-1)?.role === "assistant") return invalid("this model does not support assistant message prefill")
  if (effort !== undefined && !Object.hasOwn(rule.efforts ?? {}, effort)) return invalid("output_config.effort is not supported on this model")
  return max_tokens > 0 ? undefined : invalid("max_tokens: must be greater than 0")
}

export interface Said {
  /** In the API's form. */
  readonly message: Readonly<Record<string, unknown>>
  readonly usd: number
}

/**
 * A message of the model that the request names. Thinking is part of its output and of `max_tokens`: what does not fit is
 * cut off.
 * @param tokens of the text
 * @param times tokens that are counted for each that was used
 */
export const said = ({ max_tokens, model, output_config: { effort } }: RequestBody, text: string, stop: string, tokens: number, times: number): Said => {
  const { efforts, price, thinks } = rules.get(model)!
  const wanted = effort === undefined ? thinks : efforts![effort]!
  const thought = Math.min(wanted, max_tokens)
  const room = stop === "max_tokens" ? max_tokens - thought : Math.min(tokens, max_tokens - thought)
  const cut = room < tokens
  const [input, output] = [times * 1200, times * (thought + room)]
  return {
    usd: (input * price.input + output * price.output) / 1e6,
    message: {
      id: "msg_test", type: "message", role: "assistant", model, stop_reason: cut ? "max_tokens" : stop, stop_sequence: null,
      content: [
        ...(thought === 0 ? [] : [{ type: "thinking", thinking: "{\"better\": \"first\"} or not?", signature: "c2lnbmVk" }]),
        ...(room === 0 ? [] : [{ type: "text", text: cut ? text.slice(0, Math.floor(text.length * room / tokens)) : text }])
      ],
      usage: { input_tokens: input, output_tokens: output, output_tokens_details: { thinking_tokens: times * thought } }
    }
  }
}
