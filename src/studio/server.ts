/**
 * The studio's server: its API and its page, for this machine alone. Every path begins with a token that no other program and no
 * other page knows; a request that names another host or comes from another page is refused.
 */
import { randomBytes } from "node:crypto"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { RateLimiter } from "effect/persistence"
import { guarded, readable } from "../serve/guard.ts"
import { listening } from "../serve/listening.ts"
import { refuse } from "../serve/refusals.ts"
import { StudioApi } from "./api.ts"
import { people, playground, steering, watch } from "./handlers.ts"
import { pageRoutes } from "./page-files.ts"
import type { FoundRuns } from "./runs.ts"

export interface StudioOptions {
  readonly runs: FoundRuns
  /** 0 takes a free one. */
  readonly port: number
  /** Begins every path. */
  readonly token: string
}

export const newToken = (): string => randomBytes(16).toString("hex")

/** Names under which only this machine reaches itself. */
const thisMachine = ["127.0.0.1", "localhost", "[::1]"]

/** Two drawings of the longest kind, and what is said of them. */
const mostBytes = 500_000

/** Serves until its scope closes. */
export const layer = ({ port, runs, token }: StudioOptions) => {
  const prefix = `/${token}` as const
  const api = HttpApiBuilder.layer(StudioApi, { openapiPath: "/openapi.json" }).pipe(
    Layer.provide([watch(runs), people(runs), playground(runs), steering]),
    Layer.provide([guarded({ key: undefined, hosts: thisMachine, origins: [], mostBytes, ratePerMinute: 0 }), readable]),
    Layer.provide(RateLimiter.layer),
    Layer.provide(RateLimiter.layerStoreMemory)
  )
  const nothingHere = HttpRouter.add("*", "/*", HttpServerResponse.jsonUnsafe(refuse("missing", "There is nothing here: open the address that vequinox printed."), { status: 404 }))
  const behindToken = Layer.effect(HttpRouter.HttpRouter, Effect.map(HttpRouter.HttpRouter, (router) => router.prefixed(prefix)))
  return HttpRouter.serve(Layer.mergeAll(Layer.mergeAll(api, pageRoutes).pipe(Layer.provide(behindToken)), nothingHere), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provideMerge(listening({ host: "127.0.0.1", port }))
  )
}
