/** Servers of tests on this machine's own address. */
import type * as http from "node:http"
import type { AddressInfo } from "node:net"

/** What of a model's server can be told to go wrong, whatever it speaks. */
export interface Faults<Kind> {
  /** Share of requests that fail, spread evenly over `kinds`. */
  readonly faults?: number
  readonly kinds?: ReadonlyArray<Kind>
  readonly seed?: number
  /** Milliseconds until an answer. */
  readonly latency?: number
  /** Tokens that are counted for each that was used. Default 1. */
  readonly counts?: number
}

/** Listens on a port that was free; `close` breaks every connection off. */
export const listening = async (server: http.Server) => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

/** Answers with what is in no API's form, where the fault asks for that; says whether it did. */
export const answersNonsense = (fault: string | undefined, request: http.IncomingMessage, response: http.ServerResponse): boolean => {
  const bodies: Readonly<Record<string, string>> = { empty: "", null: "null", "wrong-shape": "{\"ok\":true}", html: "<html>A proxy</html>" }
  if (fault === "reset") request.socket.destroy()
  else if (fault !== undefined && fault in bodies) {
    response.writeHead(200, { "content-type": fault === "html" ? "text/html" : "application/json" }).end(bodies[fault])
  } else return false
  return true
}

/** A server for as long as it is used. */
export const during = async <S extends { readonly close: () => Promise<void> }>(starting: Promise<S>, use: (server: S) => Promise<void>) => {
  const server = await starting
  try {
    await use(server)
  } finally {
    await server.close()
  }
}
