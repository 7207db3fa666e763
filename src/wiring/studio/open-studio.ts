/** Opens a studio on a run, or on a folder of runs. */
import { Context, Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import * as archive from "../../../layers/store/archive.ts"
import * as votes from "../../../layers/store/votes.ts"
import { findRuns } from "../../studio/runs.ts"
import { layer as server, newToken } from "../../studio/server.ts"
import * as playground from "./playground.ts"

export interface StudioRequest extends playground.PlaygroundOptions {
  /** A run folder, or a folder of run folders. */
  readonly folder: string
  /** 0 takes a free one. */
  readonly port: number
}

/** Pixels of a picture's side: what a page shows large. */
const pictureSize = 384

/** Serves until the scope closes; gives the page's address, which only whoever is told it can open. */
export const openStudio = Effect.fn("openStudio")(function*({ folder, port, ...options }: StudioRequest) {
  const token = newToken()
  const drawing = rendererResvg.layer({ size: pictureSize })
  const context = yield* Layer.build(
    server({ runs: findRuns(folder), port, token }).pipe(
      Layer.provide([archive.layer, votes.layer, playground.layer(options).pipe(Layer.provide(drawing)), drawing])
    )
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  return "port" in address ? `http://127.0.0.1:${address.port}/${token}/` : ""
})
