/** Which trackers a run or `sft` tells its numbers: `report_to` and `log_completions`, names of TRL and transformers. */
import { Effect, type Layer, Redacted } from "effect"
import * as otlp from "../../layers/tracker/otlp.ts"
import * as parquet from "../../layers/tracker/parquet.ts"
import * as tensorboard from "../../layers/tracker/tensorboard.ts"
import * as together from "../../layers/tracker/together.ts"
import * as trackio from "../../layers/tracker/trackio.ts"
import { BadInput } from "../system/errors.ts"
import { version } from "../system/installed.ts"
import { mayHoldKey, serverUrl } from "../system/server-address.ts"
import type { TrainConfig } from "./settings.ts"

export type TrackerSettings = Pick<TrainConfig, "log_completions" | "project" | "report_to" | "run_name" | "trackio_url">

/** What only the work itself knows. */
export interface Tracked {
  /** The run's, or the checkpoint's. */
  readonly folder: string
  /** For event files. */
  readonly events: string
  readonly name: string
  /** The same for every process of a run, and for no other run. */
  readonly id: string
  /** The first step that is told, if earlier ones were told by another process. */
  readonly from: number | undefined
  /** Every setting; holds no secret. */
  readonly config: Readonly<Record<string, unknown>>
  readonly note: (line: string) => Effect.Effect<void>
}

const named = ({ report_to }: TrackerSettings): ReadonlyArray<string> =>
  [...new Set(typeof report_to === "string" ? [report_to] : report_to)].filter((name) => name !== "none")

/** Whether anything is told to anybody. */
export const isTracked = (c: TrackerSettings): boolean => named(c).length > 0 || c.log_completions

/** The server's address and token. Trackio shows both as one address, which must not be stored. */
const trackioServer = Effect.fnUntraced(function*({ trackio_url }: TrackerSettings) {
  const given = trackio_url === "" ? process.env["TRACKIO_SERVER_URL"] ?? "" : trackio_url
  const where = trackio_url === "" ? "TRACKIO_SERVER_URL" : "--trackio-url"
  if (given === "") {
    return yield* new BadInput({ message: "Trackio's server is not known: give its address with --trackio-url, or in TRACKIO_SERVER_URL." })
  }
  const url = serverUrl(given)
  if (url === undefined) {
    return yield* new BadInput({ message: `${where} is not an address of a server, such as http://127.0.0.1:7860.` })
  }
  if (trackio_url !== "" && mayHoldKey(url)) {
    return yield* new BadInput({ message: "--trackio-url is stored in config.json, so it may hold no token: give the token in TRACKIO_WRITE_TOKEN, or the whole address in TRACKIO_SERVER_URL." })
  }
  const token = url.searchParams.get("write_token") ?? process.env["TRACKIO_WRITE_TOKEN"] ?? ""
  return { url: `${url.origin}${url.pathname}`, token: token === "" ? undefined : Redacted.make(token) }
})

/** Fails with `BadInput` before anything is made; what it returns opens the trackers for one piece of work. */
export const openTrackers = Effect.fnUntraced(function*(c: TrackerSettings) {
  const names = named(c)
  const server = names.includes("trackio") ? yield* trackioServer(c) : undefined
  return ({ config, events, folder, from, id, name, note }: Tracked): Layer.Layer<never, BadInput> => {
    const run = c.run_name === "" ? name : c.run_name
    return together.layer<BadInput, never>([
      ...names.includes("tensorboard") ? [tensorboard.layer({ folder: events, from, config, note })] : [],
      ...server === undefined ? [] : [trackio.layer({ ...server, project: c.project, run, id, config, note })],
      ...names.includes("otlp") ? [otlp.layer({ run, id, version, note })] : [],
      ...c.log_completions ? [parquet.layer({ folder: `${folder}/completions`, from, note })] : []
    ])
  }
})
