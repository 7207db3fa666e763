/**
 * A loopback server that speaks the Messages API over a real socket and judges honestly (honest-eyes.ts). It refuses what
 * the real models refuse (claude-rules.ts), and can be told to fail in every way that the real one was seen to.
 */
import { createHash } from "node:crypto"
import * as http from "node:http"
import { type BatchServer, type BatchServerOptions, makeBatchServer } from "./claude-batches.ts"
import { type RequestBody, said, whyRefused } from "./claude-rules.ts"
import { random } from "../../src/engine/random.ts"
import { honestAnswer, type Shown } from "./honest-eyes.ts"
import { answersNonsense, type Faults, listening } from "./loopback.ts"

export const faultKinds = [
  "429", "500", "529", "408", "reset", "stall", "truncated", "malformed", "empty", "html", "null", "wrong-shape",
  "refusal", "max_tokens", "wrong-answer"
] as const
export type FaultKind = typeof faultKinds[number]

export interface ClaudeServerOptions extends Faults<FaultKind> {
  /** Most that befall requests of one Idempotency-Key in a row. No limit where it is not given. */
  readonly faultsInARow?: number
  /** Milliseconds that a 429 asks to wait. */
  readonly retryAfter?: number
  /** Every request is answered with this error. */
  readonly always?: { readonly status: number; readonly message: string }
  /** How batches go. */
  readonly batches?: BatchServerOptions
  /**
   * A request with an Idempotency-Key that was answered is answered the same again and charged once, whatever became of the
   * answer on its way. Default false.
   */
  readonly idempotent?: boolean
  /** Share of questions, by their content, that are never answered as asked: refused, cut off, or in another form. */
  readonly unanswerable?: number
  /** Why every answer ends, if not by itself: a stop_reason. */
  readonly stops?: string
  /** What becomes of an honest answer before it is said: the answer, and all texts of the question. */
  readonly reshape?: (answer: unknown, text: string) => unknown
  /** The first picture wins ties of less than this: a judge with a favourite place. */
  readonly firstPlaceBonus?: number
}

export interface ClaudeServer {
  readonly url: string
  readonly requests: () => number
  /**
   * Seconds that all requests together were held, and in which the server had asked everybody to wait: what no client can
   * avoid, with n calls at a time, is held / n + asked.
   */
  readonly busy: () => { readonly held: number; readonly asked: number }
  /** Answers that were charged, and what they come to at their models' prices. */
  readonly billed: () => { readonly answers: number; readonly usd: number }
  /** How often each Idempotency-Key was charged. */
  readonly charged: ReadonlyMap<string, number>
  /** Keys of those that were no use: a refusal, an answer cut off or in another form. */
  readonly useless: ReadonlySet<string>
  /** Answers that were sent again instead of charged. */
  readonly replayed: () => number
  readonly faults: () => Readonly<Record<string, number>>
  /** Bodies as they came. */
  readonly bodies: ReadonlyArray<{ readonly headers: http.IncomingHttpHeaders; readonly body: RequestBody }>
  readonly batches: BatchServer
  readonly close: () => Promise<void>
}

const uselessKinds: ReadonlyArray<FaultKind | undefined> = ["refusal", "max_tokens", "wrong-answer"]
const isUseless = (kind: FaultKind | undefined): boolean => kind !== undefined && uselessKinds.includes(kind)

const shownIn = ({ messages, output_config }: RequestBody, firstPlaceBonus: number): Shown => {
  const { content } = messages[0]!
  return {
    text: content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n"),
    images: content.flatMap((part) => (part.type === "image" ? [part.source.data] : [])),
    schema: output_config.format.schema,
    firstPlaceBonus
  }
}

export const startClaudeServer = async (options: ClaudeServerOptions = {}): Promise<ClaudeServer> => {
  const { always, counts: times = 1, faults = 0, faultsInARow = Infinity, firstPlaceBonus = 0, idempotent = false, kinds = faultKinds, latency = 0, reshape = (answer) => answer, retryAfter = 20, seed = 0, stops, unanswerable = 0 } = options
  const counts: Record<string, number> = {}
  const bodies: Array<ClaudeServer["bodies"][number]> = []
  let requests = 0
  let answers = 0
  let usd = 0
  const charged = new Map<string, number>()
  const useless = new Set<string>()
  const given = new Map<string, string>()
  let replayed = 0
  const inARow = new Map<string, number>()

  const answerTo = (body: RequestBody): unknown => {
    const shown = shownIn(body, firstPlaceBonus)
    return reshape(honestAnswer(shown), shown.text)
  }
  const batches = makeBatchServer({ ...(stops === undefined ? {} : { stops }), ...options.batches }, (body) => JSON.stringify(answerTo(body)))
  let held = 0
  let asked = 0
  let askedUntil = 0
  const waitPlease = () => {
    const until = performance.now() + retryAfter
    asked += until - Math.max(performance.now(), askedUntil)
    askedUntil = Math.max(askedUntil, until)
    return { "retry-after-ms": String(retryAfter) }
  }

  /** What becomes of a question whenever it is asked. */
  const lasting = (body: RequestBody): FaultKind | undefined => {
    const hash = createHash("sha256").update(JSON.stringify(body.messages)).digest()
    return hash.readUInt32LE(0) / 2 ** 32 < unanswerable ? uselessKinds[hash.readUInt32LE(4) % uselessKinds.length] : undefined
  }

  const server = http.createServer((request, response) => {
    const parts: Array<Buffer> = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("error", () => {})
    response.on("error", () => {})
    const came = performance.now()
    response.on("close", () => (held += performance.now() - came))
    request.on("end", () => {
      if (always === undefined && batches.handle(request, Buffer.concat(parts).toString("utf8"), response)) return
      const n = requests++
      const draw = random(seed, n)
      const key = String(request.headers["idempotency-key"])
      const before = inARow.get(key) ?? 0
      const fault = draw() < faults && before < faultsInARow ? kinds[Math.floor(draw() * kinds.length)] : undefined
      inARow.set(key, fault === undefined ? 0 : before + 1)
      if (fault !== undefined) counts[fault] = (counts[fault] ?? 0) + 1
      setTimeout(() => answer(JSON.parse(Buffer.concat(parts).toString("utf8") || "{}") as RequestBody, fault), latency)
    })
    const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
      response.writeHead(status, { "content-type": "application/json", "request-id": "req_test", ...headers })
        .end(typeof body === "string" ? body : JSON.stringify(body))
    const failed = (status: number, type: string, message: string, headers: Record<string, string> = {}) =>
      json(status, { type: "error", error: { type, message } }, headers)
    const answer = (body: RequestBody, fault: FaultKind | undefined) => {
      if (always !== undefined) return failed(always.status, "error", always.message)
      bodies.push({ headers: request.headers, body })
      if (answersNonsense(fault, request, response)) return
      switch (fault) {
        case "429":
          return failed(429, "rate_limit_error", "slow down", waitPlease())
        case "500":
          return failed(500, "api_error", "internal")
        case "529":
          return failed(529, "overloaded_error", "overloaded", waitPlease())
        case "408":
          return failed(408, "timeout_error", "too slow")
      }
      const why = whyRefused(body)
      if (why !== undefined) return failed(why.status, why.type, why.message)
      const once = String(request.headers["idempotency-key"])
      const again = idempotent ? given.get(once) : undefined
      if (again !== undefined) replayed++
      try {
        const message = again ?? spoken(body, once, isUseless(fault) ? fault : lasting(body))
        given.set(once, message)
        deliver(message, fault)
      } catch (cause) {
        failed(400, "invalid_request_error", (cause as Error).message)
      }
    }
    /** The message of the model, charged. */
    const spoken = (body: RequestBody, once: string, fault: FaultKind | undefined): string => {
      const message = (text: string, stop: string, tokens = 180) => {
        answers++
        charged.set(once, (charged.get(once) ?? 0) + 1)
        const spoken = said(body, text, stop, tokens, times)
        usd += spoken.usd
        return JSON.stringify(spoken.message)
      }
      if (isUseless(fault)) useless.add(once)
      switch (fault) {
        case "refusal":
          return message("I'd rather not.", "refusal", 8)
        case "max_tokens":
          return message("{\"differences\": \"one is", "max_tokens")
        case "wrong-answer":
          return message("{\"better\": \"left\"}", "end_turn")
        default:
          return message(JSON.stringify(answerTo(body)), stops ?? "end_turn")
      }
    }
    const deliver = (message: string, fault: FaultKind | undefined) => {
      switch (fault) {
        case "stall":
          response.writeHead(200, { "content-type": "application/json" }).write("{\"id\":")
          return
        case "truncated":
          response.writeHead(200, { "content-type": "application/json", "content-length": String(message.length) })
          response.write(message.slice(0, 40), () => request.socket.destroy())
          return
        case "malformed":
          return json(200, message.slice(0, -9))
        default:
          return json(200, message, { "anthropic-ratelimit-requests-limit": "100000", "anthropic-ratelimit-requests-remaining": "99999" })
      }
    }
  })
  const { close, url } = await listening(server)
  return {
    url,
    requests: () => requests,
    busy: () => ({ held: held / 1000, asked: asked / 1000 }),
    billed: () => ({ answers, usd }),
    charged,
    useless,
    replayed: () => replayed,
    faults: () => counts,
    batches,
    bodies,
    close
  }
}
