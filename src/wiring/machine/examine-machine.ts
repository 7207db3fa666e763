/** What this machine can do, found out by doing it: what `vequinox doctor` shows. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Config, Effect, Option } from "effect"
import { freeMemory, probeDevice, runtimeVersion } from "../../../layers/onnx/runtime.ts"
import * as rendererResvg from "../../../layers/renderer/resvg.ts"
import { openDecoder } from "../../model/model-folder.ts"
import { openTokenizer } from "../../model/tokenizer/tokenizer.ts"
import { openClip } from "../../scorers/clip.ts"
import { Renderer } from "../../stages/Renderer.ts"
import { explain } from "../../system/files.ts"
import { atLeast, embedded, nodeWanted } from "../../system/installed.ts"
import { failed, type Machine, passed, shownAddress } from "./machine.ts"
import { fits, published } from "./models-that-fit.ts"
import { cacheFolder } from "../cache-folder.ts"
import { resolveConfig } from "../settings.ts"

const checked = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onSuccess: () => passed, onFailure: ({ message }) => failed(message) })

const testDrawing =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><circle cx="32" cy="32" r="20" fill="red"/></svg>`

const drawn = Effect.gen(function*() {
  const rendering = yield* (yield* Renderer).render(testDrawing)
  return rendering._tag === "Rendered" ? passed : failed(`a circle was ${rendering.reason}`)
}).pipe(
  Effect.scoped,
  Effect.provide(rendererResvg.layer({ processes: 1, size: 64 })),
  Effect.catch(({ message }) => Effect.succeed(failed(message)))
)

/** Of the folder, or of the nearest one above that exists. */
const diskOf = (folder: string): Effect.Effect<Machine["disk"]["current"]> =>
  Effect.sync(() => {
    let at = folder
    while (!fs.existsSync(at) && path.dirname(at) !== at) at = path.dirname(at)
    try {
      const { bavail, bsize } = fs.statfsSync(at)
      fs.accessSync(at, fs.constants.W_OK)
      return { folder, ...passed, free: bavail * bsize }
    } catch (cause) {
      return { folder, ...failed(explain(cause)), free: undefined }
    }
  })

const valueOf = (name: string) =>
  Effect.map(Effect.option(Config.String(name)), (value) => Option.getOrElse(value, () => ""))

const keyNames = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"]
const addressNames = ["ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"]

export const examine = Effect.gen(function*() {
  const policy = yield* Effect.result(openDecoder(embedded("policy")))
  const defaults = yield* resolveConfig(undefined, {})
  const free = freeMemory()
  const limit = process.constrainedMemory()
  const keys = yield* Effect.forEach(keyNames, (name) => Effect.map(valueOf(name), (value) => [name, value !== ""] as const))
  const addresses = yield* Effect.forEach(addressNames, (name) => Effect.map(valueOf(name), (value) => [name, value] as const))
  const devices = yield* Effect.all({ cpu: device("cpu"), webgpu: device("webgpu"), cuda: device("cuda") })
  const sizes = {
    r: defaults.lora_r,
    tokensPerRun: defaults.tokens_per_run,
    k: defaults.num_generations,
    device: devices.cuda.ok ? "cuda" : devices.webgpu.ok ? "webgpu" : "cpu"
  }
  return {
    node: { version: process.version, wanted: nodeWanted, ok: atLeast(process.version, nodeWanted) },
    platform: process.platform,
    arch: process.arch,
    onnxruntime: Option.getOrUndefined(yield* Effect.option(runtimeVersion)),
    devices,
    cores: os.availableParallelism(),
    memory: { total: os.totalmem(), limit: limit > 0 && limit < os.totalmem() ? limit : undefined, free },
    renderer: yield* drawn,
    disk: { current: yield* diskOf(process.cwd()), cache: yield* diskOf(yield* cacheFolder) },
    keys: Object.fromEntries(keys),
    addresses: Object.fromEntries(addresses.filter(([, text]) => text !== "").map(([name, text]) => [name, shownAddress(text)])),
    models: {
      policy: yield* checked(Effect.andThen(Effect.fromResult(policy), openTokenizer(embedded("policy")))),
      clip: yield* checked(openClip(embedded("clip"))),
      "clip-heldout": yield* checked(openClip(embedded("clip-heldout")))
    },
    loraR: sizes.r,
    fits: [
      ...(policy._tag === "Success" ? fits({ embedded: policy.success.config }, { ...sizes, lengths: [defaults.max_length] }, free) : []),
      ...fits(published, { ...sizes, lengths: [512, 1024] }, free)
    ]
  } satisfies Machine as Machine
})

const device = (name: "cpu" | "webgpu" | "cuda") =>
  Effect.map(probeDevice(name), (refusal) => refusal === undefined ? passed : failed(refusal))
