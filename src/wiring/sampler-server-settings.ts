/** Settings of runs whose drawings come from servers (layers/sampler/openai.ts), and which of them hold together. */
import { Schema } from "effect"
import { above, orElse } from "../system/ranges.ts"
import { mayHoldKey, serverUrl } from "../system/server-address.ts"
import type { TrainConfig } from "./settings.ts"

export const samplerServerSettings = {
  sampler_url: [
    orElse(Schema.Union([Schema.Array(Schema.NonEmptyString), Schema.String.check(Schema.isPattern(/^[^,]+$/))]), []),
    "sampler openai: address of a server of vLLM, SGLang or vequinox serve; several, with commas or by giving it again, share the work. The key belongs in VEQUINOX_SAMPLER_API_KEY"
  ],
  sampler_flavour: [
    orElse(Schema.Literals(["auto", "vllm", "sglang", "vequinox"]), "auto"),
    "sampler openai: what the servers are; auto asks each"
  ],
  sampler_adapters: [orElse(Schema.String, ""), "sampler openai: folder where each version's adapter is put for the servers to read; empty takes sampler-adapters in the run folder"],
  sampler_adapters_at: [orElse(Schema.String, ""), "sampler openai: where the servers see that folder, if at another path"],
  sampler_timeout: [orElse(above(0, 1e6), 300), "sampler openai: longest wait for a whole answer, seconds"],
  sampler_tolerance: [
    orElse(above(0, 1e3), 0.05),
    "sampler openai: how far a server's log-probabilities may be from the trainer's, nats a token; checked whenever an adapter was loaded"
  ]
} as const

const names = Object.keys(samplerServerSettings)

/** The servers that draw. */
export const samplerUrls = ({ sampler_url: given }: Pick<TrainConfig, "sampler_url">): ReadonlyArray<string> => (typeof given === "string" ? [given] : given)

/** Why these settings of what draws cannot hold together, a sentence, or undefined. */
export const samplerServerProblem = (c: TrainConfig, given: Readonly<Record<string, unknown>>): string | undefined => {
  if (c.sampler !== "openai") {
    const idle = names.find((name) => name in given)
    return idle === undefined ? undefined : `${idle} is about servers that draw, and there are none: give --sampler openai, or leave it out.`
  }
  const urls = samplerUrls(c)
  if (urls.length === 0) return "sampler openai draws on servers, and none is named: give --sampler-url, for example http://127.0.0.1:8000."
  const odd = urls.find((url) => serverUrl(url) === undefined)
  if (odd !== undefined) return `sampler_url has ${JSON.stringify(odd.slice(0, 80))}, which is not an address of a server, such as http://127.0.0.1:8000.`
  if (urls.some((url) => mayHoldKey(serverUrl(url)!))) return "sampler_url is stored in config.json, so it may hold no key: give that in VEQUINOX_SAMPLER_API_KEY."
  if (c.lora_r === 0 && c.adapter === "") return "sampler openai gives servers each version as an adapter, and lora_r 0 trains every parameter: give --lora-r over 0."
  const own = (["stop_malformed", "sampler_precision"] as const).find((name) => name in given && c[name] !== false && c[name] !== "auto")
  return own === undefined ? undefined : `${own} is about drawing in this process, and servers draw: leave it out, or give --sampler onnx.`
}
