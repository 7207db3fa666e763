/** Asks a server for rollouts as Eval Protocol's client does: sends one, asks for its status until it has ended, then for the rest. */
import { assert } from "vitest"

export interface Status {
  readonly code: number
  readonly message: string
  readonly details: ReadonlyArray<unknown>
}
interface Message {
  readonly role: string
  readonly content: unknown
}
interface Payload {
  readonly data: string
}
export interface Trace {
  readonly id: string
  readonly tags: ReadonlyArray<string>
  readonly input: { readonly messages: ReadonlyArray<Message> }
  readonly output: Message & { readonly content: string }
  readonly payloads?: { readonly logprobs: Payload; readonly prompt_token_ids: Payload }
}
export interface Log {
  readonly status: Status
  readonly tags: ReadonlyArray<string>
  readonly extras: Readonly<Record<string, unknown>>
}

/** Codes of google.rpc.Code, and the client's own. */
export const codes = { invalidArgument: 3, notFound: 5, resourceExhausted: 8, finished: 100, running: 101 } as const

export const metadataOf = (id: string, more: Readonly<Record<string, string>> = {}) =>
  ({ invocation_id: "an-invocation", experiment_id: "an-experiment", run_id: "a-run", row_id: "a-row", rollout_id: id, ...more })

export const initOf = (id: string, more: object = {}) => ({
  completion_params: { model: "embedded", temperature: 0.5, seed: 1 },
  messages: [{ role: "user", content: "a pelican", name: null, tool_calls: null, weight: null }],
  tools: null,
  model_base_url: `http://localhost:8000/rollout_id/${id}`,
  metadata: metadataOf(id),
  api_key: null,
  ...more
})

/** @param base of the server */
export const rolloutClient = (base: () => string, headers: Readonly<Record<string, string>> = { authorization: "Bearer None" }) => {
  const get = async <A>(path: string): Promise<A> => {
    const response = await fetch(base() + path, { headers })
    assert.strictEqual(response.status, 200, path)
    return await response.json() as A
  }
  const tag = (id: string) => `tags=${encodeURIComponent(`rollout_id:${id}`)}`
  const client = {
    init: (body: unknown) =>
      fetch(`${base()}/init`, { method: "POST", headers: { "content-type": "application/json" }, body: typeof body === "string" ? body : JSON.stringify(body) }),
    status: async (id: string) => (await get<{ readonly status: Status }>(`/v1/status?rollout_id=${encodeURIComponent(id)}`)).status,
    logs: async (id: string) => (await get<{ readonly entries: ReadonlyArray<Log> }>(`/logs?${tag(id)}&limit=100&hours_back=24&program=eval_protocol`)).entries,
    traces: async (id: string, more = "") =>
      (await get<{ readonly traces: ReadonlyArray<Trace> }>(`/v1/traces/pointwise?limit=100&${tag(id)}&sleep_between_gets=0.1&max_retries=5${more}`)).traces,
    /** Its status once it has ended. @param every milliseconds between two looks */
    ended: async (id: string, every = 20): Promise<Status> => {
      for (;;) {
        const status = await client.status(id)
        if (status.code !== codes.running) return status
        await new Promise((resolve) => setTimeout(resolve, every))
      }
    },
    rollout: async (body: ReturnType<typeof initOf>): Promise<Status> => {
      const response = await client.init(body)
      assert.strictEqual(response.status, 200)
      return await client.ended(body.metadata.rollout_id)
    }
  }
  return client
}
