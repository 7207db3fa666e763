/** The server: the API's endpoints behind their guard, a page that documents them, and what limits connections. */
import { Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApiBuilder, HttpApiScalar } from "effect/http-api"
import { RateLimiter } from "effect/persistence"
import { Api } from "./api.ts"
import { evalProtocol } from "./eval-protocol/handlers.ts"
import type { RolloutLimits } from "./eval-protocol/rollouts.ts"
import { guarded, type GuardOptions, readable } from "./guard.ts"
import { adapters, health, openAi, watching } from "./handlers.ts"
import { listening } from "./listening.ts"
import { refuse } from "./refusals.ts"
import type { Served } from "./request.ts"
import { type DrawingCheck, requirements } from "./requirements/handlers.ts"

export interface ServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly guard: GuardOptions
  /** What says which requirements drawings meet; undefined: nothing. */
  readonly looks?: DrawingCheck | undefined
  readonly rollouts?: RolloutLimits | undefined
}

const nothingHere = HttpRouter.add(
  "*",
  "/*",
  HttpServerResponse.jsonUnsafe(refuse("missing", "There is no such endpoint: /docs shows them."), { status: 404 })
)

/** Serves until its scope closes; then answers that are under way have five seconds to end. */
export const layer = (served: Served, { guard, host, looks, port, rollouts }: ServerOptions) => {
  const api = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
    Layer.provide([openAi(served), adapters(served), evalProtocol(served, rollouts), requirements(looks), watching, health]),
    Layer.provide([guarded(guard), readable]),
    Layer.provide(RateLimiter.layer),
    Layer.provide(RateLimiter.layerStoreMemory)
  )
  return HttpRouter.serve(Layer.mergeAll(api, HttpApiScalar.layer(Api, { path: "/docs" }), nothingHere), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(Layer.provideMerge(listening({ host, port })))
}
