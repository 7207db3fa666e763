/** Passes a client's requests on to a server, and remembers them as they came. */
import * as http from "node:http"
import { text } from "node:stream/consumers"
import { listening } from "../support/loopback.ts"

export interface Recorded {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Undefined: none. */
  readonly body?: unknown
}

/** Headers that say what a client is and what it sends. */
const kept = ["authorization", "content-type", "accept"]

/** @param upstream as http://127.0.0.1:8000 */
export const recording = async (upstream: string) => {
  const recorded: Array<Recorded> = []
  const proxy = await listening(http.createServer(async (request, response) => {
    const body = await text(request)
    recorded.push({
      method: request.method!,
      path: request.url!,
      headers: Object.fromEntries(kept.flatMap((name) => typeof request.headers[name] === "string" ? [[name, request.headers[name]]] : [])),
      ...(body === "" ? {} : { body: JSON.parse(body) as unknown })
    })
    const passed = http.request(new URL(request.url!, upstream), { method: request.method!, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    passed.on("error", () => response.destroy())
    passed.end(body)
  }))
  return { ...proxy, recorded }
}
