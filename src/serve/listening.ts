/** Node's HTTP server, with what limits its connections. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { BadInput } from "../system/errors.ts"

/** Connections beyond these are closed at once. */
const mostConnections = 1024

/** Node's own limits, ms: a client that sends too slowly is answered 408. */
const timeouts = { headersTimeout: 10_000, requestTimeout: 60_000, keepAliveTimeout: 5000, connectionsCheckingInterval: 2000 }

/**
 * Listens until its scope closes; then answers that are under way have five seconds to end.
 * @param port 0 takes a free one
 */
export const listening = ({ host, port }: { readonly host: string; readonly port: number }) =>
  NodeHttpServer.layer(() => {
    const server = createServer(timeouts)
    server.maxConnections = mostConnections
    return server
  }, { host, port, gracefulShutdownTimeout: "5 seconds" }).pipe(
    Layer.catchTag("ServeError", ({ cause }) =>
      Layer.effectContext(Effect.fail(
        new BadInput({ message: `The server cannot listen on ${host}:${port} (${(cause as Error).message}): give another --port, or 0.` })
      )))
  )

/** Where it listens. */
export const address = Effect.map(HttpServer.HttpServer, ({ address }) => address)
