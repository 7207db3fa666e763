/** `vequinox serve`: answers OpenAI's clients with a policy and its adapters, until it is stopped. */
import * as path from "node:path"
import { Config, Console, Effect, Layer, Option, Struct } from "effect"
import { Command, Flag } from "effect/cli"
import * as completionsOnnx from "../../layers/completions/onnx.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import { parameterCount } from "../engine/training/memory.ts"
import { address } from "../serve/listening.ts"
import { layer as server } from "../serve/server.ts"
import { makeShelf } from "../serve/shelf.ts"
import { BadInput } from "../system/errors.ts"
import { embedded } from "../system/installed.ts"
import { progressStyle } from "../system/progress.ts"
import { int } from "../system/ranges.ts"
import { makeDrawingCheck, openChecker, spendsAtMost } from "../wiring/comparison/requirements.ts"
import * as Flags from "../wiring/flags.ts"
import { guideFlags, guideSettings } from "../wiring/judges/judge-flags.ts"
import { openPolicy } from "../wiring/policy.ts"
import { quantizedCache, tellQuantizing } from "../wiring/quantized-cache.ts"
import { givenSettings, numberFlag } from "../wiring/setting-flags.ts"
import { resolveConfig } from "../wiring/settings.ts"

export const serve = Command.make("serve", {
  model: Flags.model,
  revision: Flags.revision,
  servedModelName: Flag.String("served-model-name").pipe(
    Flag.withDescription("what clients call the policy (default: its folder's or Hub name)"),
    Flag.optional
  ),
  adapter: Flag.String("adapter").pipe(
    Flag.withDescription("PEFT folder to serve beside the policy, as FOLDER or NAME=FOLDER; may be given several times"),
    Flag.between(0, Infinity)
  ),
  adapters: Flag.String("adapters").pipe(
    Flag.withDescription("folder from which clients may load adapters (POST /v1/load_lora_adapter); without it they may not"),
    Flag.optional
  ),
  host: Flag.String("host").pipe(
    Flag.withDescription("address to listen on; other than this machine's own, it asks for a key in the variable VEQUINOX_API_KEY"),
    Flag.withDefault("127.0.0.1")
  ),
  port: numberFlag("port", int(0, 65_535)).pipe(Flag.withDescription("port to listen on; 0 takes a free one"), Flag.withDefault(8000)),
  allowOrigin: Flag.String("allow-origin").pipe(
    Flag.withDescription("web page that may ask, as http://localhost:5173; may be given several times"),
    Flag.between(0, Infinity)
  ),
  maxNumSeqs: Flags.count("max-num-seqs", 4096).pipe(Flag.withDescription("completions that are decoded together"), Flag.withDefault(64)),
  maxWaiting: Flags.count("max-waiting", 100_000).pipe(
    Flag.withDescription("completions that wait for a place; more are refused with status 429"),
    Flag.withDefault(256)
  ),
  maxLength: Flags.count("max-length", 1_000_000).pipe(
    Flag.withDescription("most tokens of prompt and answer together (default: 2048, or what the policy can read)"),
    Flag.optional
  ),
  maxBodyBytes: Flags.count("max-body-bytes", 100_000_000).pipe(Flag.withDescription("most bytes of a request"), Flag.withDefault(1_000_000)),
  rate: numberFlag("rate", int(0, 1_000_000)).pipe(
    Flag.withDescription("requests a minute that one client address may send; 0 any number"),
    Flag.withDefault(0)
  ),
  stop: Flag.String("stop").pipe(
    Flag.withDescription("text after which every answer ends, itself included; empty for none"),
    Flag.withDefault("</svg>")
  ),
  requirements: Flag.Boolean("requirements").pipe(
    Flag.withDescription("let a guide model (--guide) check which requirements a drawing meets, for clients that ask (POST /v1/evaluate)"),
    Flag.withDefault(false)
  ),
  guideModel: Flags.guideModel,
  ...guideFlags,
  ...Flags.promptForm,
  samplerPrecision: Flags.samplerPrecision,
  device: Flags.device,
  threads: Flags.threads,
  json: Flags.json
}, Effect.fn(function*(o) {
  const style = progressStyle(o.json)
  const key = Option.getOrUndefined(yield* Config.option(Config.Redacted("VEQUINOX_API_KEY")))
  const local = thisMachine.includes(o.host)
  if (!local && key === undefined) {
    return yield* new BadInput({
      message: `--host ${o.host} lets other machines ask: put a key into the variable VEQUINOX_API_KEY, which clients send as a bearer token.`
    })
  }
  const checker = o.requirements ? yield* openChecker(yield* resolveConfig(undefined, givenSettings(Struct.pick(o, guideSettings))), o.guideModel) : undefined
  const { checkpoint, tokenizer } = yield* openPolicy(o.model, o.revision, style)
  const maxLength = Math.min(checkpoint.config.maxPositions, Option.getOrElse(o.maxLength, () => 2048))
  const runtime = OnnxRuntime.layer(o.device, parameterCount(checkpoint.config), { threads: o.threads, overlap: false })
  const completions = completionsOnnx.layer({
    checkpoint,
    tokenizer,
    maxLength,
    maxNumSeqs: o.maxNumSeqs,
    maxWaiting: o.maxWaiting,
    precision: o.samplerPrecision,
    cache: yield* quantizedCache,
    quantizing: (total) => tellQuantizing(style, total)
  }).pipe(Layer.provide(runtime))
  const format = { systemPrompt: o.systemPrompt, promptTemplate: o.promptTemplate, prefill: o.prefill }
  const base = Option.getOrElse(o.servedModelName, () => nameOf(o.model))
  return yield* Effect.gen(function*() {
    const shelf = yield* makeShelf({ base, checkpoint, folder: Option.getOrUndefined(o.adapters) })
    for (const given of o.adapter) {
      const [, name = path.basename(path.resolve(given)), folder = given] = /^([\w.-]+)=(.*)$/s.exec(given) ?? []
      yield* Effect.mapError(shelf.put(name, folder), ({ error: { message } }) => new BadInput({ message: `--adapter ${given}: ${message}` }))
    }
    const looks = checker === undefined ? undefined : yield* makeDrawingCheck(checker)
    const guard = { key, hosts: local ? thisMachine : undefined, origins: o.allowOrigin, mostBytes: o.maxBodyBytes, ratePerMinute: o.rate }
    return yield* Effect.gen(function*() {
      const listening = yield* address
      const url = "port" in listening ? `http://${shown(o.host)}:${listening.port}` : ""
      const models = [shelf.base, ...shelf.adapters()]
      yield* o.json
        ? Console.log(JSON.stringify({ url, models, ...(checker === undefined ? {} : { requirements: checker.model }) }))
        : Console.log(`Serving ${models.join(", ")} at ${url}/v1 (${url}/docs shows the endpoints). ${
          checker === undefined ? "" : `${checker.model} checks requirements${spendsAtMost(checker)}. `
        }Ctrl-C stops it.`)
      return yield* Effect.never
    }).pipe(Effect.provide(server({ tokenizer, format, stop: o.stop, maxLength, shelf }, { host: o.host, port: o.port, guard, looks })))
  }).pipe(Effect.scoped, Effect.provide(completions))
})).pipe(Command.withDescription("Answer OpenAI's clients with a policy and its adapters"))

/** Names under which only this machine reaches itself. */
const thisMachine = ["127.0.0.1", "localhost", "::1", "[::1]"]

const shown = (host: string): string => (host.includes(":") && !host.startsWith("[") ? `[${host}]` : host)

const nameOf = (model: string): string => (model === embedded("policy") ? "embedded" : path.basename(model))
