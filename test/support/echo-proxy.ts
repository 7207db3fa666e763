/** A proxy on a real socket that gives the key of each request back in what it answers. */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

/** @param tamper what becomes of an honest answer; undefined lets it pass */
export const withEcho = <A, E>(
  upstream: string,
  tamper: (key: string, honest: Answer, url: string) => Answer | undefined,
  use: (url: string) => Effect.Effect<A, E>
) =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const server = http.createServer((request, response) => {
        const parts: Array<Buffer> = []
        request.on("data", (part: Buffer) => parts.push(part))
        request.on("end", async () => {
          const { authorization = "", host: _, connection: __, "content-length": ___, ...headers } = request.headers
          const key = authorization.replace(/^Bearer /, "")
          const honest = await fetch(new URL(request.url!, upstream), {
            method: request.method!,
            headers: { ...headers as Record<string, string>, authorization },
            ...(parts.length === 0 ? {} : { body: Buffer.concat(parts) })
          })
          const answer: Answer = { status: honest.status, headers: { "content-type": "application/json" }, body: await honest.text() }
          const { body, headers: sent, status } = tamper(key, answer, request.url!) ?? answer
          response.writeHead(status, sent).end(body)
        })
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      return server
    }),
    (server) => use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    (server) => Effect.sync(() => (server.close(), server.closeAllConnections()))
  )
