/** Merged checkpoints: the adapted model's numbers, in files that open as any other, or nothing at all. */
import * as fs from "node:fs"
import mutableFs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import { Trainer } from "../../layers/onnx/trainer-program.ts"
import { openDecoder, openWeights, readParameters, readTensor } from "../../src/model/model-folder.ts"
import { merge } from "../../src/commands/merge.ts"
import { parseBytes } from "../../src/system/bytes.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { openFactors } from "../../src/model/lora-factors.ts"
import { writeMerged } from "../../src/model/merge.ts"
import { loraNames } from "../../src/engine/weights/parameters.ts"
import { encodeSafetensors, type FileDType, toBfloat16, toFloat16 } from "../../src/engine/weights/safetensors.ts"
import type { Tensor } from "../../src/engine/weights/tensor.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const golden = path.join(import.meta.dirname, "../golden")
const work = scratchFolder("merge")
let made = 0
const fresh = () => path.join(work, String(made++))

const qwen3 = path.join(golden, "qwen3")
const merging = (
  { adapter = path.join(qwen3, "adapter"), dtype, maxShardBytes = 5e9, model = qwen3, out }: {
    readonly adapter?: string
    readonly dtype?: FileDType
    readonly maxShardBytes?: number
    readonly model?: string
    readonly out: string
  }
) =>
  Effect.gen(function*() {
    const base = yield* openDecoder(model)
    return yield* writeMerged(base, yield* openFactors(adapter, base), { out, dtype, maxShardBytes })
  })

/** A copy of qwen3's adapter with its config, and its tensors, changed. */
const adapterWith = (config: Readonly<Record<string, unknown>>, change: (tensors: Map<string, Tensor>) => void = () => {}) =>
  Effect.gen(function*() {
    const folder = fresh()
    fs.cpSync(path.join(qwen3, "adapter"), folder, { recursive: true })
    const at = path.join(folder, "adapter_config.json")
    fs.writeFileSync(at, JSON.stringify({ ...JSON.parse(fs.readFileSync(at, "utf8")), ...config }))
    const tensors = readParameters(yield* openWeights(folder, "adapter_model.safetensors"))
    change(tensors)
    fs.writeFileSync(path.join(folder, "adapter_model.safetensors"), encodeSafetensors(tensors))
    return folder
  })

/** W + scale B A of one module, in float64, entry by entry. */
const byHand = Effect.fnUntraced(function*(adapter: string, module: string, scale: number) {
  const [files, base] = [yield* openWeights(adapter, "adapter_model.safetensors"), yield* openDecoder(qwen3)]
  const names = loraNames(module)
  const [A, B] = [readTensor(files, names.A), readTensor(files, names.B)]
  const [r, width] = A.shape as [number, number]
  return Array.from(readTensor(base, `${module}.weight`).data, (w, at) => {
    const [o, i] = [Math.floor(at / width), at % width]
    return w + scale * Array.from({ length: r }, (_, k) => B.data[o * r + k]! * A.data[k * width + i]!).reduce((a, b) => a + b, 0)
  })
})

const logpsOf = async (folder: string, family: string): Promise<ReadonlyArray<ReadonlyArray<number>>> => {
  const { attention_mask, input_ids } = JSON.parse(fs.readFileSync(path.join(golden, family, "golden.json"), "utf8"))
  const trainer = new Trainer({
    checkpoint: await Effect.runPromise(openDecoder(folder)),
    lora: undefined,
    parameters: new Map(),
    ...trainerDefaults(64, 4096),
    device: "cpu",
    threads: 1
  })
  const logps = await trainer.logps(
    input_ids.map((ids: Array<number>, n: number) => ({ ids: ids.filter((_, t) => attention_mask[n][t] === 1), promptLength: 1 })),
    true
  )
  await trainer.release()
  return logps.map((row) => Array.from(row))
}

describe.each(["qwen3", "qwen2", "llama", "gemma3_text"])("%s and its adapter, merged", (family) => {
  const model = path.join(golden, family)
  const adapter = path.join(model, "adapter")

  it.effect("has peft's log-probabilities, to 1e-4 nats, in one file and in many", () =>
    Effect.gen(function*() {
      const [whole, sharded] = [fresh(), fresh()]
      yield* merging({ model, adapter, out: whole })
      const { lora_logps, logps: base } = JSON.parse(fs.readFileSync(path.join(model, "golden.json"), "utf8"))
      const logps = yield* Effect.promise(() => logpsOf(whole, family))
      logps.forEach((row, n) => row.forEach((x, t) => assert.approximately(x, lora_logps[n][t], 1e-4)))
      assert.isAbove(Math.abs(base[0][0] - lora_logps[0][0]), 1e-2, "the adapter changes what is compared")

      const limit = 20_000
      const { bytes, files } = yield* merging({ model, adapter, out: sharded, maxShardBytes: limit })
      const index = JSON.parse(fs.readFileSync(path.join(sharded, "model.safetensors.index.json"), "utf8"))
      const names = fs.readdirSync(sharded).filter((name) => name.endsWith(".safetensors")).sort()
      assert.isAtLeast(files, 3)
      assert.deepStrictEqual(names, names.map((_, i) => `model-0000${i + 1}-of-0000${files}.safetensors`))
      assert.deepStrictEqual([...new Set(Object.values(index.weight_map))].sort(), names)
      assert.strictEqual(index.metadata.total_size, bytes)
      for (const name of names) {
        const { index } = yield* openWeights(sharded, name)
        const held = [...index.values()].reduce((n, { length }) => n + length, 0)
        assert.isTrue(held <= limit || index.size === 1, `${name} holds ${held} bytes`)
      }
      assert.deepStrictEqual(readParameters(yield* openDecoder(sharded)), readParameters(yield* openDecoder(whole)))
    }))

  it.effect("holds the base's tensors and config, tied embeddings tied", () =>
    Effect.gen(function*() {
      const out = fresh()
      yield* merging({ model, adapter, out })
      const [base, merged] = [yield* openDecoder(model), yield* openDecoder(out)]
      assert.deepStrictEqual([...merged.index.keys()].sort(), [...base.index.keys()].sort())
      assert.strictEqual(merged.index.has("lm_head.weight"), family === "llama")
      assert.strictEqual(merged.config.tied, family !== "llama")
      assert.deepStrictEqual(fs.readFileSync(path.join(out, "config.json")), fs.readFileSync(path.join(model, "config.json")))
      const embedding = "model.embed_tokens.weight"
      assert.deepStrictEqual(readTensor(merged, embedding), readTensor(base, embedding))
    }))
})

describe("what is computed", () => {
  const module = "model.layers.1.mlp.down_proj"

  it.effect.each([
    ["alpha / r", {}, 8 / 4],
    ["alpha / √r for rsLoRA", { use_rslora: true }, 8 / 2],
    ["alpha_pattern, by the end of a name", { alpha_pattern: { "other": 1, "layers\\.[12]\\.mlp\\.down_proj": 3 } }, 3 / 4],
    ["targets given as a regular expression", { target_modules: ".*_proj" }, 8 / 4]
  ] as const)("%s", ([, config, scale]) =>
    Effect.gen(function*() {
      const [adapter, out] = [yield* adapterWith(config), fresh()]
      yield* merging({ adapter, out })
      const expected = yield* byHand(adapter, module, scale)
      readTensor(yield* openDecoder(out), `${module}.weight`).data.forEach((x, i) => assert.approximately(x, expected[i]!, 1e-7))
    }))

  it.effect("rank_pattern: a module of its own rank, the others as before", () =>
    Effect.gen(function*() {
      const { A, B } = loraNames(module)
      const adapter = yield* adapterWith({ rank_pattern: { [module]: 3 } }, (tensors) => {
        const [a, b] = [tensors.get(A)!, tensors.get(B)!]
        tensors.set(A, { shape: [3, a.shape[1]!], data: a.data.slice(0, 3 * a.shape[1]!) })
        tensors.set(B, { shape: [b.shape[0]!, 3], data: b.data.slice(0, 3 * b.shape[0]!) })
      })
      const out = fresh()
      yield* merging({ adapter, out })
      const merged = yield* openDecoder(out)
      for (const [name, scale] of [[module, 8 / 3], ["model.layers.0.mlp.down_proj", 8 / 4]] as const) {
        const expected = yield* byHand(adapter, name, scale)
        readTensor(merged, `${name}.weight`).data.forEach((x, i) => assert.approximately(x, expected[i]!, 1e-7))
      }
    }))

  it.effect.each([["BF16", "bfloat16", toBfloat16], ["F16", "float16", toFloat16]] as const)(
    "%s: every value of the float32 result rounded once, and config.json says so",
    ([dtype, name, round]) =>
      Effect.gen(function*() {
        const [exact, rounded] = [fresh(), fresh()]
        yield* merging({ out: exact, dtype: "F32" })
        yield* merging({ out: rounded, dtype })
        const [a, b] = [yield* openDecoder(exact), yield* openDecoder(rounded)]
        for (const key of a.index.keys()) {
          assert.strictEqual(b.index.get(key)!.dtype, dtype)
          const bits = Array.from(readTensor(b, key).data, round)
          assert.deepStrictEqual(bits, Array.from(readTensor(a, key).data, round))
        }
        assert.strictEqual(JSON.parse(fs.readFileSync(path.join(rounded, "config.json"), "utf8")).dtype, name)
        // A base in 16 bits keeps them, and the tensors that no adapter touches keep their bytes.
        const again = fresh()
        yield* merging({ model: rounded, out: again })
        assert.deepStrictEqual(
          readTensor(yield* openDecoder(again), "model.norm.weight"),
          readTensor(b, "model.norm.weight")
        )
        assert.strictEqual((yield* openDecoder(again)).index.get(`${module}.weight`)!.dtype, dtype)
      })
  )

  it("sizes as people write them", () => {
    const sizes = { "5GB": 5e9, "500 MiB": 500 * 2 ** 20, "1.5kb": 1500, "123": 123 }
    for (const [text, bytes] of Object.entries(sizes)) assert.deepStrictEqual(parseBytes(text), Option.some(bytes))
    for (const text of ["", "0", "GB", "-1GB", "5TBs"]) assert.deepStrictEqual(parseBytes(text), Option.none())
  })
})

describe("what is refused, in one sentence, before anything is written", () => {
  const q0 = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, unknown>>, (tensors: Map<string, Tensor>) => void, RegExp]> = [
    ["DoRA", { use_dora: true }, () => {}, /use_dora = true, which is not known here: fold it into its base with peft/],
    ["what a later peft may bring", { use_other_lora: true }, () => {}, /use_other_lora = true/],
    ["a pattern that only Python reads", { alpha_pattern: { "q_proj\\Z": 2 } }, () => {}, /q_proj\\Z works only in Python/],
    ["biases", { bias: "lora_only" }, () => {}, /bias = "lora_only"/],
    ["whole modules", { modules_to_save: ["lm_head"] }, () => {}, /modules_to_save = \["lm_head"\]/],
    ["transposed weights", { fan_in_fan_out: true }, () => {}, /fan_in_fan_out/],
    ["a base that PiSSA changed", { init_lora_weights: "pissa_niter_4" }, () => {}, /init_lora_weights = "pissa_niter_4", which changes the base/],
    ["another method", { peft_type: "IA3" }, () => {}, /is a IA3 adapter: only LORA adapters are read/],
    ["a rank that the tensors have not", { r: 8 }, () => {}, /_proj\.lora_A\.weight is \[4,\d+\], but the base asks for \[8,\d+\]/],
    ["an invalid pattern", { rank_pattern: { "(": 2 } }, () => {}, /has an invalid pattern/],
    ...(["rank_pattern", "alpha_pattern", "target_modules"] as const).map((name) => {
      const endless = "(([a-z0-9._])*)*!"
      return [
        `a pattern of ${name} that never ends`,
        { [name]: name === "target_modules" ? endless : { [endless]: 2 } },
        () => {},
        /adapter_config\.json has patterns that cannot be matched within 2 s: write the names of modules instead\.$/
      ] as const
    }),
    ["a tensor that is missing", {}, (tensors) => tensors.delete(q0), /q_proj\.lora_A\.weight is missing/],
    ["a module that is missing whole", {}, (tensors) => {
      for (const name of Object.values(loraNames("model.layers.1.mlp.up_proj"))) tensors.delete(name)
    }, /layers\.1\.mlp\.up_proj\.lora_A\.weight is missing/],
    ["a layer that the base has not", {}, (tensors) => tensors.set(q0.replace(".0.", ".7."), tensors.get(q0)!), /the base has no linear module for its tensor .*layers\.7/],
    ["factors of embeddings", {}, (tensors) =>
      tensors.set("base_model.model.model.embed_tokens.lora_embedding_A", tensors.get(q0)!), /no linear module for its tensor .*lora_embedding_A/],
    ["the output layer of tied embeddings", {}, (tensors) => {
      const { A, B } = loraNames("model.embed_tokens")
      tensors.set(A, { shape: [4, 32], data: new Float32Array(128) })
      tensors.set(B, { shape: [97, 4], data: new Float32Array(388) })
    }, /adapts model\.embed_tokens, which the base ties/]
  ]
  it.effect.each(cases)("%s", ([, config, change, expected]) =>
    Effect.gen(function*() {
      const out = path.join(fresh(), "out")
      const { message } = yield* Effect.flip(merging({ adapter: yield* adapterWith(config, change), out }))
      assert.match(message, expected)
      assert.notInclude(message, "\n")
      assert.isFalse(fs.existsSync(path.dirname(out)))
    }))

  it.effect("an adapter of another base", () =>
    Effect.gen(function*() {
      const model = path.resolve(golden, "../../models/policy")
      const { message } = yield* Effect.flip(merging({ model, out: fresh() }))
      assert.match(message, /is not an adapter of .*policy: .* but the base asks for \[4,(192|512)\]/)
    }))

  it.effect("no adapter", () =>
    Effect.gen(function*() {
      assert.match((yield* Effect.flip(merging({ adapter: qwen3, out: fresh() }))).message, /is not a PEFT adapter/)
    }))
})

describe("a folder or nothing", () => {
  it.effect("a folder that holds something is left alone", () =>
    Effect.gen(function*() {
      const out = fresh()
      fs.mkdirSync(out)
      yield* merging({ out }) // empty: taken
      const before = fs.statSync(path.join(out, "model.safetensors")).mtimeMs
      assert.match((yield* Effect.flip(merging({ out }))).message, /is not an empty folder: choose another with --out/)
      assert.strictEqual(fs.statSync(path.join(out, "model.safetensors")).mtimeMs, before)
    }))

  it.effect("a place that cannot be written", () =>
    Effect.gen(function*() {
      const file = fresh()
      fs.writeFileSync(file, "")
      assert.match((yield* Effect.flip(merging({ out: path.join(file, "out") }))).message, /cannot be written: a part of its path is a file/)
      if (process.getuid?.() === 0) return // may write anywhere
      const closed = fresh()
      fs.mkdirSync(closed, { mode: 0o555 })
      assert.match((yield* Effect.flip(merging({ out: path.join(closed, "out") }))).message, /permission is denied/)
      assert.deepStrictEqual(fs.readdirSync(closed), [])
    }))

  it.effect("a disk that fills up half way", () =>
    Effect.gen(function*() {
      const folder = fresh()
      const { writeFileSync } = mutableFs
      let calls = 0
      mutableFs.writeFileSync = ((...args: Parameters<typeof writeFileSync>) => {
        if (calls++ === 5) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })
        writeFileSync(...args)
      }) as typeof writeFileSync
      syncBuiltinESMExports()
      const { message } = yield* Effect.flip(merging({ out: path.join(folder, "deep", "out") })).pipe(
        Effect.ensuring(Effect.sync(() => {
          mutableFs.writeFileSync = writeFileSync
          syncBuiltinESMExports()
        }))
      )
      assert.match(message, /cannot be written: the disk is full/)
      assert.isAbove(calls, 5)
      assert.isFalse(fs.existsSync(folder))
    }))

  it.effect("a base that ends while it is read", () =>
    Effect.gen(function*() {
      const [model, parent] = [fresh(), fresh()]
      fs.cpSync(qwen3, model, { recursive: true })
      fs.mkdirSync(parent)
      const base = yield* openDecoder(model)
      const adapter = yield* openFactors(path.join(qwen3, "adapter"), base)
      fs.truncateSync(path.join(model, "model.safetensors"), 60_000)
      const { message } = yield* Effect.flip(writeMerged(base, adapter, { out: path.join(parent, "out"), dtype: undefined, maxShardBytes: 5e9 }))
      assert.match(message, /ended while it was read/)
      assert.deepStrictEqual(fs.readdirSync(parent), [])
    }))

  it.effect("values that the dtype cannot hold", () =>
    Effect.gen(function*() {
      const folder = fresh()
      const adapter = yield* adapterWith({ lora_alpha: 1e9 })
      assert.match((yield* Effect.flip(merging({ adapter, out: folder, dtype: "F16" }))).message, /which is no float16: choose another --dtype/)
      assert.isFalse(fs.existsSync(folder))
    }))

  it.effect("the command says what it wrote", () =>
    Effect.gen(function*() {
      const out = fresh()
      yield* Command.runWith(merge, { version: "test" })([
        ..."--dtype bf16 --max-shard-size 20KB --json --model".split(" "),
        qwen3,
        "--adapter",
        path.join(qwen3, "adapter"),
        "--out",
        out
      ])
      const { files, modules } = JSON.parse(String((yield* TestConsole.logLines).at(-1)))
      assert.strictEqual(modules, 14)
      assert.strictEqual(fs.readdirSync(out).filter((name) => name.endsWith(".safetensors")).length, files)
      assert.strictEqual((yield* openDecoder(out)).index.get("model.norm.weight")!.dtype, "BF16")
    }).pipe(Effect.provide(NodeServices.layer)))
})
