/** The server: the API's endpoints behind their guard, a page that documents them, and what limits connections. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { HttpApiBuilder, HttpApiScalar } from "effect/http-api"
import { RateLimiter } from "effect/persistence"
import { BadInput } from "../system/errors.ts"
import { Api } from "./api.ts"
import { guarded, type GuardOptions, readable } from "./guard.ts"
import { adapters, health, openAi, watching } from "./handlers.ts"
import { refuse } from "./refusals.ts"
import type { Served } from "./request.ts"

export interface ServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly guard: GuardOptions
}

/** Connections beyond these are closed at once. */
const mostConnections = 1024

/** Node's own limits, ms: a client that sends too slowly is answered 408. */
const timeouts = { headersTimeout: 10_000, requestTimeout: 60_000, keepAliveTimeout: 5000, connectionsCheckingInterval: 2000 }

const nothingHere = HttpRouter.add(
  "*",
  "/*",
  HttpServerResponse.jsonUnsafe(refuse("missing", "There is no such endpoint: /docs shows them."), { status: 404 })
)

/** Serves until its scope closes; then answers that are under way have five seconds to end. */
export const layer = (served: Served, { guard, host, port }: ServerOptions) => {
  const api = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
    Layer.provide([openAi(served), adapters(served), watching, health]),
    Layer.provide([guarded(guard), readable]),
    Layer.provide(RateLimiter.layer),
    Layer.provide(RateLimiter.layerStoreMemory)
  )
  const server = NodeHttpServer.layer(() => {
    const server = createServer(timeouts)
    server.maxConnections = mostConnections
    return server
  }, { host, port, gracefulShutdownTimeout: "5 seconds" }).pipe(
    Layer.catchTag("ServeError", ({ cause }) =>
      Layer.effectContext(Effect.fail(
        new BadInput({ message: `The server cannot listen on ${host}:${port} (${(cause as Error).message}): give another --port, or 0.` })
      )))
  )
  return HttpRouter.serve(Layer.mergeAll(api, HttpApiScalar.layer(Api, { path: "/docs" }), nothingHere), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(Layer.provideMerge(server))
}

/** Where it listens. */
export const address = Effect.map(HttpServer.HttpServer, ({ address }) => address)
