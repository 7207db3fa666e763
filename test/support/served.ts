/** A server of the embedded policy and two adapters, for the tests of a file. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer, ManagedRuntime } from "effect"
import { afterAll, beforeAll } from "vitest"
import * as CompletionsOnnx from "../../layers/completions/onnx.ts"
import { OnnxRuntime } from "../../layers/onnx/runtime.ts"
import { modulesOf } from "../../src/engine/nets/transformer.ts"
import { gaussian, random } from "../../src/engine/random.ts"
import { initialAdapter, type LoraConfig } from "../../src/engine/weights/parameters.ts"
import { adapterFiles } from "../../src/model/adapter.ts"
import { defaultFormat } from "../../src/model/tokenizer/tokenizer.ts"
import type { RolloutLimits } from "../../src/serve/eval-protocol/rollouts.ts"
import type { GuardOptions } from "../../src/serve/guard.ts"
import { address } from "../../src/serve/listening.ts"
import { layer as server } from "../../src/serve/server.ts"
import { makeShelf } from "../../src/serve/shelf.ts"
import { checkpoint, tokenizer } from "./embedded-policy.ts"

export const lora: LoraConfig = { r: 4, alpha: 8, targets: ["q_proj", "v_proj", "down_proj"] }
/** Factors that change what is drawn. */
export const trained = (seed: number) => {
  const draw = random(seed)
  return new Map([...initialAdapter(modulesOf(checkpoint.config), lora, seed)].map(([name, { data, shape }]) =>
    [name, { shape, data: data.map((x) => x + 0.05 * gaussian(draw)) }]))
}

export const writeAdapter = (folder: string, seed: number) => {
  fs.mkdirSync(folder, { recursive: true })
  for (const [name, content] of adapterFiles(trained(seed), lora, { name: "embedded", revision: null })) fs.writeFileSync(path.join(folder, name), content)
}

/** Adapter `red` is loaded; those in `folder` may be. */
export const served = (work: string, guard: Partial<GuardOptions> = {}, places: { readonly maxNumSeqs?: number; readonly maxWaiting?: number } = {}, rollouts?: RolloutLimits) => {
  const folder = path.join(work, "adapters")
  const state = { url: "", port: 0, folder }
  const completions = CompletionsOnnx.layer({
    checkpoint, tokenizer, maxLength: 256, maxNumSeqs: 16, maxWaiting: 64, precision: "float32", cache: work,
    quantizing: () => Effect.succeed(() => Effect.void), ...places
  }).pipe(Layer.provide(OnnxRuntime.layer("cpu", 0, { threads: 1 })))
  const all = Layer.unwrap(Effect.gen(function*() {
    const shelf = yield* makeShelf({ base: "embedded", checkpoint, folder })
    yield* shelf.put("red", path.join(work, "red"))
    return server({ tokenizer, format: defaultFormat, stop: "</svg>", maxLength: 256, shelf }, {
      host: "127.0.0.1", port: 0,
      guard: { key: undefined, hosts: ["127.0.0.1", "localhost"], origins: [], mostBytes: 100_000, ratePerMinute: 0, ...guard },
      rollouts
    })
  })).pipe(Layer.provideMerge(completions))
  const runtime = ManagedRuntime.make(all)
  beforeAll(async () => {
    writeAdapter(path.join(work, "red"), 1)
    fs.mkdirSync(folder, { recursive: true })
    const listening = await runtime.runPromise(address)
    state.port = "port" in listening ? listening.port : 0
    state.url = `http://127.0.0.1:${state.port}`
  })
  afterAll(() => runtime.dispose())
  return state
}
