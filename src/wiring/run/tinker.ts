/** A run on a Tinker server: its settings, what it trains, its layers. */
import { Effect, Redacted } from "effect"
import * as optimizerTinker from "../../../layers/optimizer/tinker.ts"
import * as samplerTinker from "../../../layers/sampler/tinker.ts"
import { connectTinker, type Tinker } from "../../../layers/tinker/connect.ts"
import { digestOf, openSaved, type SavedWeights } from "../../../layers/tinker/saved.ts"
import type { DecoderCheckpoint } from "../../model/model-folder.ts"
import { BadInput } from "../../system/errors.ts"
import { makeProgress, type ProgressStyle } from "../../system/progress.ts"
import { mayHoldKey, plainAddress, serverUrl } from "../../system/server-address.ts"
import { flagOf, type TrainConfig } from "../settings.ts"
import { optimizerOf } from "./optimizer-settings.ts"
import { samplingOf } from "./sampling-settings.ts"
import { brought } from "./trained-parameters.ts"

/** Where an address is not given: as skyrl-tx listens. */
const usualUrl = "http://127.0.0.1:8000"

/** The server's address and key. */
const serverOf = Effect.fnUntraced(function*({ tinker_url }: TrainConfig) {
  const given = tinker_url !== "" ? tinker_url : process.env["TINKER_BASE_URL"] || usualUrl
  const where = tinker_url === "" ? "TINKER_BASE_URL" : `--${flagOf("tinker_url")}`
  const url = serverUrl(given)
  if (url === undefined) {
    return yield* new BadInput({ message: `${where} is not an address of a server, such as ${usualUrl}.` })
  }
  if (mayHoldKey(url)) {
    return yield* new BadInput({ message: `${where} may hold no key: give the key in TINKER_API_KEY.` })
  }
  const key = process.env["TINKER_API_KEY"] ?? ""
  return { url: plainAddress(url), apiKey: key === "" ? undefined : Redacted.make(key) }
})

/** Settings that come with this machine's trainer mean nothing there; `stopMalformed` does in its own sampler alone. */
const refusal = (c: TrainConfig): string | undefined => {
  const { objective, options } = optimizerOf(c)
  if (c.sampler === "tinker" && c.stop_malformed) return "A Tinker server does not look at what it draws: leave stop_malformed out."
  return optimizerTinker.refusedByTinker(objective, options) ?? (c.sampler === "tinker" ? samplerTinker.undrawable(samplingOf(c)) : undefined)
}

/** The server's fresh adapter: it decides alpha and modules. Its models live as long as the scope. */
export const trainedOnServer = Effect.fnUntraced(function*(c: TrainConfig, checkpoint: DecoderCheckpoint, style: ProgressStyle) {
  const refused = refusal(c)
  if (refused !== undefined) return yield* new BadInput({ message: refused })
  const server = yield* serverOf(c)
  const { note } = yield* makeProgress(style, "step", 1)
  yield* note(`Asking the Tinker server at ${server.url} for an adapter; its first passes may take a minute.`)
  const tinker = yield* connectTinker({
    ...server,
    checkpoint,
    baseModel: c.tinker_base_model === "" ? undefined : c.tinker_base_model,
    rank: c.lora_r,
    seed: c.seed,
    note
  })
  const { initial: parameters, lora } = tinker
  const runs = { tokens_per_run: c.tokens_per_run, gradient_checkpointing: c.gradient_checkpointing }
  return { lora, parameters, reference: undefined, tinker, settings: { ...brought(lora), ...runs, adapter_sha256: digestOf(parameters) } }
})

/** @param file of the run's folder, where the server's checkpoints are listed */
export const onServer = (tinker: Tinker | undefined, file: string) =>
  tinker === undefined ? Effect.succeed(undefined) : Effect.map(openSaved(file), (saved) => ({ tinker, saved }))

export interface OnServer {
  readonly tinker: Tinker
  readonly saved: SavedWeights
}

/** A server's names take letters, digits, _ and - alone. */
export const serverName = (run: string): string => `vequinox-${run.replace(/[^\w-]+/g, "-").slice(0, 80)}`
