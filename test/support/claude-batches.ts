/** The Message Batches endpoints of the loopback server (claude-server.ts): it works on batches, charges for them, and can fail on the way. */
import type * as http from "node:http"
import { type RequestBody, said, whyRefused } from "./claude-rules.ts"
import { random, shuffled } from "../../src/engine/random.ts"

const callFaults = ["500", "529", "408", "reset", "html"] as const
/** Of the making: the batch is made and its answer lost, in two ways, or the connection ends before it is made. */
export const createFaults = ["made-reset", "made-html", "unmade-reset", "529"] as const
const resultsFaults = ["cut", "short", "garbled", "500"] as const
export const requestFaults = ["api_error", "overloaded_error", "expired", "canceled", "missing", "refusal", "max_tokens", "no-message"] as const

export interface BatchServerOptions {
  /** Milliseconds that a batch takes; Infinity: until `release`. */
  readonly delay?: number
  /** Readings of results, from the first on, that stall halfway. */
  readonly stalls?: number
  /** Share of calls that fail. */
  readonly faults?: number
  /** Share of requests inside batches that do. */
  readonly requestFaults?: number
  /** Fixed faults of the first makings, before any that are drawn. */
  readonly creates?: ReadonlyArray<typeof createFaults[number] | "ok">
  /** Tokens that are counted for each that was used. Default 1. */
  readonly counts?: number
  /** Every request ends with this error. */
  readonly error?: string
  /** Why every answer ends, if not by itself: a stop_reason. */
  readonly stops?: string
  readonly seed?: number
}

interface Made {
  readonly id: string
  readonly at: number
  readonly lines: ReadonlyArray<string>
  readonly counts: Readonly<Record<"succeeded" | "errored" | "canceled" | "expired", number>>
  readonly size: number
}

export interface BatchServer {
  /** Answers the request, if it is one about batches. */
  readonly handle: (request: http.IncomingMessage, body: string, response: http.ServerResponse) => boolean
  readonly batches: ReadonlyArray<{ readonly id: string; readonly size: number }>
  /** Answers that were charged, by custom_id, and what they come to at half of their models' prices. */
  readonly charged: () => { readonly times: ReadonlyMap<string, number>; readonly usd: number }
  /** Requests of batches, by custom_id. */
  readonly sent: ReadonlyMap<string, number>
  readonly faults: () => Readonly<Record<string, number>>
  /** Readings of results that stall now. */
  readonly stalled: () => number
  /** From here on batches take no time. */
  readonly release: () => void
}

/** By custom_id: the same question has the same answer, and looking at pictures takes time. */
const answers = new Map<string, string>()

const pick = <A>(draw: () => number, all: ReadonlyArray<A>): A => all[Math.floor(draw() * all.length)]!

/** @param judged the answer to the parameters of a request, as JSON text */
export const makeBatchServer = (o: BatchServerOptions, judged: (params: RequestBody) => string): BatchServer => {
  const { counts: tokens = 1, creates = [], error, faults = 0, requestFaults: inside = 0, seed = 0, stalls = 0, stops = "end_turn" } = o
  let delay = o.delay ?? 0
  let stalled = 0
  const batches: Array<Made> = []
  const times = new Map<string, number>()
  const sent = new Map<string, number>()
  const counts: Record<string, number> = {}
  let usd = 0
  let calls = 0
  let creations = 0
  let requests = 0
  const count = <F extends string>(kind: string, fault: F): F => {
    counts[`${kind} ${fault}`] = (counts[`${kind} ${fault}`] ?? 0) + 1
    return fault
  }

  const resultOf = (custom_id: string, params: RequestBody): Record<string, unknown> | undefined => {
    sent.set(custom_id, (sent.get(custom_id) ?? 0) + 1)
    const draw = random(seed, 1, requests++)
    const fault = error !== undefined ? "error" : draw() < inside ? count("request", pick(draw, requestFaults)) : undefined
    const errored = (type: string, message: string) => ({ type: "errored", error: { type: "error", error: { type, message } } })
    const message = (text: string, stop: string, output: number) => {
      times.set(custom_id, (times.get(custom_id) ?? 0) + 1)
      const spoken = said(params, text, stop, output, tokens)
      usd += spoken.usd / 2
      return { type: "succeeded", message: spoken.message }
    }
    const why = whyRefused(params)
    if (why !== undefined) return errored(why.type, why.message)
    switch (fault) {
      case "expired":
      case "canceled":
        return { type: fault }
      case "missing":
        message("", "end_turn", 180) // charged all the same
        return undefined
      case "no-message":
        message("", "end_turn", 180)
        return { type: "succeeded", message: null }
      case "refusal":
        return message("I'd rather not.", "refusal", 8)
      case "max_tokens":
        return message("{\"differences\": \"one is", "max_tokens", 180)
      case undefined:
        if (!answers.has(custom_id)) answers.set(custom_id, judged(params))
        return message(answers.get(custom_id)!, stops, 180)
      default:
        return errored(error ?? fault, "so it is")
    }
  }
  const make = (body: string): Made => {
    const { requests } = JSON.parse(body) as { readonly requests: ReadonlyArray<{ readonly custom_id: string; readonly params: RequestBody }> }
    const ids = new Set(requests.map(({ custom_id }) => custom_id))
    if (ids.size !== requests.length || [...ids].some((id) => !/^[a-zA-Z0-9_-]{1,64}$/.test(id))) throw new Error("custom_id")
    const results = requests.flatMap(({ custom_id, params }) => {
      const result = resultOf(custom_id, params)
      return result === undefined ? [] : [{ custom_id, result }]
    })
    const of = (type: string) => results.filter(({ result }) => result["type"] === type).length
    const made: Made = {
      id: `msgbatch_${String(batches.length).padStart(4, "0")}`,
      at: Date.now(),
      lines: shuffled(random(seed, 2, batches.length), results).map((line) => JSON.stringify(line)),
      counts: { succeeded: of("succeeded") + requests.length - results.length, errored: of("errored"), canceled: of("canceled"), expired: of("expired") },
      size: requests.length
    }
    batches.push(made)
    return made
  }
  const shown = ({ at, counts, id, size }: Made) => {
    const done = Date.now() - at >= delay
    return {
      id, type: "message_batch", processing_status: done ? "ended" : "in_progress",
      request_counts: done ? { processing: 0, ...counts } : { processing: size, succeeded: 0, errored: 0, canceled: 0, expired: 0 },
      created_at: new Date(at).toISOString(), expires_at: new Date(at + 86_400_000).toISOString(),
      ended_at: done ? new Date(at + delay).toISOString() : null, archived_at: null, cancel_initiated_at: null,
      // The key must not be sent here.
      results_url: done ? `http://127.0.0.1:9/v1/messages/batches/${id}/results` : null
    }
  }

  const handle: BatchServer["handle"] = (request, body, response) => {
    const url = new URL(request.url!, "http://here")
    const matched = /^\/v1\/messages\/batches(?:\/([\w-]+))?(\/results)?$/.exec(url.pathname)
    if (matched === null) return false
    const [, id, results] = matched
    const json = (status: number, value: unknown) =>
      void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))
    const failed = (status: number, type: string) => json(status, { type: "error", error: { type, message: "no" } })
    const html = () => void response.writeHead(200, { "content-type": "text/html" }).end("<html>A proxy</html>")
    const draw = random(seed, 3, calls++)
    const faulty = draw() < faults

    if (request.method === "POST") {
      const fixed = creates[creations++]
      const fault = fixed === "ok" ? undefined : fixed ?? (faulty ? pick(draw, createFaults) : undefined)
      if (fault !== undefined) count("create", fault)
      if (fault === "529") return failed(529, "overloaded_error"), true
      if (fault === "unmade-reset") return request.socket.destroy(), true
      let made: Made
      try {
        made = make(body)
      } catch {
        return failed(400, "invalid_request_error"), true
      }
      if (fault === "made-reset") request.socket.destroy()
      else if (fault === "made-html") html()
      else json(200, shown(made))
      return true
    }
    const fault = faulty && results === undefined ? count("call", pick(draw, callFaults)) : undefined
    if (fault === "reset") return request.socket.destroy(), true
    if (fault === "html") return html(), true
    if (fault !== undefined) return failed(Number(fault), "api_error"), true
    if (id === undefined) {
      const newestFirst = batches.toReversed()
      const from = newestFirst.findIndex((batch) => batch.id === url.searchParams.get("after_id")) + 1
      const data = newestFirst.slice(from, from + Number(url.searchParams.get("limit") ?? 20))
      json(200, {
        data: data.map(shown),
        has_more: from + data.length < batches.length,
        first_id: data[0]?.id ?? null,
        last_id: data.at(-1)?.id ?? null
      })
      return true
    }
    const batch = batches.find((batch) => batch.id === id)
    if (batch === undefined) return failed(404, "not_found_error"), true
    if (results === undefined) return json(200, shown(batch)), true
    if (Date.now() - batch.at < delay) return failed(400, "invalid_request_error"), true
    const broken = faulty ? count("results", pick(draw, resultsFaults)) : undefined
    if (broken === "500") return failed(500, "api_error"), true
    response.writeHead(200, { "content-type": "application/binary" })
    const half = Math.ceil(batch.lines.length / 2)
    const text = batch.lines.join("\n") + "\n"
    if (stalled < stalls) {
      stalled++
      response.write(text.slice(0, text.length / 2))
    } else if (broken === "cut") response.write(text.slice(0, text.length / 2), () => setTimeout(() => request.socket.destroy(), 5))
    else if (broken === "short") response.end(batch.lines.slice(0, half).join("\n"))
    else if (broken === "garbled") response.end(batch.lines.map((line, n) => (n === half - 1 ? line.slice(9) : line)).join("\n"))
    else response.end(text)
    return true
  }
  return {
    handle,
    batches,
    charged: () => ({ times, usd }),
    sent,
    faults: () => counts,
    stalled: () => stalled,
    release: () => {
      delay = 0
    }
  }
}
