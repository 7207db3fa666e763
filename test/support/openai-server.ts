/**
 * A loopback server that speaks chat completions over a real socket and judges as honestly as claude-server.ts. It can be
 * told to fail in every way that servers of this kind do, and to know only some of the settings.
 */
import * as http from "node:http"
import { random } from "../../src/engine/random.ts"
import { honestAnswer, type Shown } from "./honest-eyes.ts"
import { answersNonsense, type Faults, listening } from "./loopback.ts"

export const faultKinds = [
  "429", "500", "503", "408", "reset", "stall", "truncated", "malformed", "empty", "html", "null", "wrong-shape",
  "no-choice", "content_filter", "refusal", "length", "wrong-answer"
] as const
export type FaultKind = typeof faultKinds[number]

export interface OpenAIServerOptions extends Faults<FaultKind> {
  /** Every request is answered with this. */
  readonly always?: { readonly status: number; readonly body: unknown; readonly headers?: Record<string, string> }
  /** Another key is turned away, and repeated. */
  readonly key?: string
  /** Settings that are refused by name. */
  readonly refuses?: ReadonlyArray<string>
  /** Tokens that an answer has where the request sets no limit. Default 180. */
  readonly unlimited?: number
  /** How many tokens were used is not told. */
  readonly noUsage?: boolean
  /** Put around the answer. */
  readonly around?: readonly [before: string, after: string]
}

interface ChatBody extends Readonly<Record<string, unknown>> {
  readonly messages: ReadonlyArray<
    | { readonly role: "system"; readonly content: string }
    | {
      readonly role: "user"
      readonly content: ReadonlyArray<
        | { readonly type: "text"; readonly text: string }
        | { readonly type: "image_url"; readonly image_url: { readonly url: string } }
      >
    }
  >
}

export interface OpenAIServer {
  /** Up to and with /v1. */
  readonly url: string
  readonly requests: () => number
  /** What all answers come to at $1 and $5 a million tokens. */
  readonly usd: () => number
  readonly faults: () => Readonly<Record<string, number>>
  /** What came, in order. */
  readonly seen: ReadonlyArray<{ readonly url: string; readonly headers: http.IncomingHttpHeaders; readonly body: ChatBody }>
  readonly close: () => Promise<void>
}

const limited = (body: ChatBody): boolean => "max_tokens" in body || "max_completion_tokens" in body

/** Where no schema is sent, pairs are all that is asked here. */
const shownIn = ({ messages, response_format }: ChatBody): Shown => {
  const format = response_format as { readonly json_schema?: { readonly schema: Shown["schema"] } } | undefined
  const content = messages.flatMap((message) => (message.role === "system" ? [] : message.content))
  return {
    text: content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n"),
    images: content.flatMap((part) => (part.type === "text" ? [] : [/^data:image\/png;base64,(.+)$/.exec(part.image_url.url)![1]!])),
    schema: format?.json_schema?.schema ?? { properties: { better: {} } }
  }
}

export const startOpenAIServer = async (o: OpenAIServerOptions = {}): Promise<OpenAIServer> => {
  const { around = ["", ""], counts: times = 1, unlimited = 180, faults = 0, kinds = faultKinds, latency = 0, refuses = [], seed = 0 } = o
  const counts: Record<string, number> = {}
  const seen: Array<OpenAIServer["seen"][number]> = []
  let requests = 0
  let usd = 0

  const server = http.createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("error", () => {})
    response.on("error", () => {})
    request.on("end", () => {
      const draw = random(seed, requests++)
      const fault = draw() < faults ? kinds[Math.floor(draw() * kinds.length)] : undefined
      if (fault !== undefined) counts[fault] = (counts[fault] ?? 0) + 1
      setTimeout(() => answer(JSON.parse(Buffer.concat(parts).toString("utf8")) as ChatBody, fault), latency)
    })
    const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
      response.writeHead(status, { "content-type": "application/json", ...headers })
        .end(typeof body === "string" ? body : JSON.stringify(body))
    const failed = (status: number, message: string, more: object = {}, headers: Record<string, string> = {}) =>
      json(status, { error: { message, type: "error", param: null, code: null, ...more } }, headers)
    const completion = (finish_reason: string, message: object, tokens = 180) => {
      const [prompt_tokens, completion_tokens] = [1200 * times, tokens * times]
      usd += (prompt_tokens + 5 * completion_tokens) / 1e6
      return JSON.stringify({
        id: "chatcmpl-test",
        object: "chat.completion",
        choices: [{ index: 0, finish_reason, message: { role: "assistant", ...message } }],
        ...(o.noUsage === true ? {} : { usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens } })
      })
    }
    const answer = (body: ChatBody, fault: FaultKind | undefined) => {
      seen.push({ url: request.url ?? "", headers: request.headers, body })
      if (o.always !== undefined) return json(o.always.status, o.always.body, o.always.headers)
      if (request.url !== "/v1/chat/completions") return failed(404, `no such path: ${request.url}`)
      if (o.key !== undefined && request.headers.authorization !== `Bearer ${o.key}`) {
        return failed(401, `Incorrect API key provided: ${request.headers.authorization?.slice(7)}`, { code: "invalid_api_key" })
      }
      const unknown = refuses.find((name) => name in body)
      if (unknown !== undefined) return failed(400, `${unknown} not supported`)
      if (answersNonsense(fault, request, response)) return
      switch (fault) {
        case "429":
          return failed(429, "slow down", { code: "rate_limit_exceeded" }, { "retry-after-ms": "5" })
        case "500":
          return failed(500, "internal")
        case "503":
          return failed(503, "Loading model")
        case "408":
          return failed(408, "too slow")
        case "stall":
          response.writeHead(200, { "content-type": "application/json" }).write("{\"id\":")
          return
        case "truncated": {
          const whole = completion("stop", { content: "{}" })
          response.writeHead(200, { "content-type": "application/json", "content-length": String(whole.length) })
          response.write(whole.slice(0, 40), () => request.socket.destroy())
          return
        }
        case "malformed":
          return json(200, completion("stop", { content: "{}" }).slice(0, -9))
        case "no-choice":
          return json(200, { id: "chatcmpl-test", choices: [] })
        case "content_filter":
          return json(200, completion("content_filter", { content: "" }, 0))
        case "refusal":
          return json(200, completion("stop", { content: null, refusal: "I can't help with that." }, 8))
        case "length":
          return json(200, completion("length", { content: "{\"differences\": \"one is" }, 700))
        case "wrong-answer":
          return json(200, completion("stop", { content: "{\"better\": \"left\"}" }))
      }
      try {
        json(200, completion("stop", { content: around[0] + JSON.stringify(honestAnswer(shownIn(body))) + around[1], refusal: null }, limited(body) ? 180 : unlimited), {
          "x-ratelimit-limit-requests": "100000",
          "x-ratelimit-remaining-requests": "99999"
        })
      } catch (cause) {
        failed(400, (cause as Error).message)
      }
    }
  })
  const { close, url } = await listening(server)
  return {
    url: `${url}/v1`,
    requests: () => requests,
    usd: () => usd,
    faults: () => counts,
    seen,
    close
  }
}
