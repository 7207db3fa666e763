/** Checkpoints and adapters that cannot be used, as commands meet them: one sentence each, and nothing half-written. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { TestConsole } from "effect/testing"
import { afterAll } from "vitest"
import { openDecoder, readParameters } from "../../src/model/model-folder.ts"
import { logprobs } from "../../src/commands/logprobs.ts"
import { sample } from "../../src/commands/sample.ts"
import { train } from "../../src/commands/train.ts"
import { encodeHeader, encodeSafetensors, type Layout } from "../../src/engine/weights/safetensors.ts"
import { sizeOf } from "../../src/engine/weights/tensor.ts"
import { parameterShapes } from "../../src/engine/nets/transformer.ts"
import { shardIndex, shardsOf } from "../../src/model/shards.ts"
import { commandLine } from "../support/command-line.ts"

const { remove, vequinox, work } = commandLine()
afterAll(remove)
let made = 0
const fresh = () => path.join(work, String(made++))

const policy = path.resolve(import.meta.dirname, "../../models/policy")
const golden = path.join(import.meta.dirname, "../golden")
const weightsOf = (folder: string) => path.join(folder, "model.safetensors")

/** A copy of the embedded policy, changed. */
const policyWith = (change: (folder: string) => void): string => {
  const folder = fresh()
  fs.cpSync(policy, folder, { recursive: true })
  change(folder)
  return folder
}
const configWith = (config: Readonly<Record<string, unknown>>) => (folder: string): void => {
  const at = path.join(folder, "config.json")
  fs.writeFileSync(at, JSON.stringify({ ...JSON.parse(fs.readFileSync(at, "utf8")), ...config }))
}
type Header = Record<string, { dtype: string; shape: Array<number>; data_offsets: [number, number] }>
/** The header changed, the tensors as they were. */
const headerWith = (change: (header: Header) => unknown) => (folder: string): void => {
  const bytes = fs.readFileSync(weightsOf(folder))
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Header
  const json = Buffer.from(JSON.stringify(change(header) ?? header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(json.length))
  fs.writeFileSync(weightsOf(folder), Buffer.concat([size, json, bytes.subarray(8 + length)]))
}
const norm = "model.norm.weight"

/** The policy spread over files of some tensors each. */
const sharded = Effect.runPromise(Effect.gen(function*() {
  const parameters = readParameters(yield* openDecoder(policy))
  const layout = [...parameters].map(([name, { shape }]): Layout => ({ name, dtype: "F32", shape }))
  const shards = shardsOf(layout, 2e6)
  return policyWith((folder) => {
    fs.rmSync(weightsOf(folder))
    for (const { file, tensors } of shards) {
      fs.writeFileSync(path.join(folder, file), encodeSafetensors(new Map(tensors.map(({ name }) => [name, parameters.get(name)!]))))
    }
    fs.writeFileSync(path.join(folder, "model.safetensors.index.json"), shardIndex(shards))
  })
}))
const shardOf = (folder: string, n: number) => path.join(folder, fs.readdirSync(folder).filter((name) => /^model-.*\.safetensors$/.test(name))[n]!)

/** A checkpoint with room for every tensor of a config, and no disk under it. */
const sparse = (config: Readonly<Record<string, unknown>>) =>
  Effect.gen(function*() {
    const { config: small } = yield* openDecoder(policy)
    const { head_dim, hidden_size, intermediate_size, num_attention_heads, num_hidden_layers } = config as Record<string, number>
    const shapes = parameterShapes({
      ...small,
      hidden: hidden_size!,
      intermediate: intermediate_size!,
      layers: num_hidden_layers!,
      heads: num_attention_heads!,
      kvHeads: num_attention_heads!,
      headDim: head_dim!
    })
    const layout = [...shapes].map(([name, shape]): Layout => ({ name, dtype: "BF16", shape }))
    const header = encodeHeader(layout)
    return policyWith((folder) => {
      configWith(config)(folder)
      fs.writeFileSync(weightsOf(folder), header)
      fs.truncateSync(weightsOf(folder), layout.reduce((n, { shape }) => n + 2 * sizeOf(shape), header.length))
    })
  })

/** What a command said when it failed. */
const refusalOf = Effect.fnUntraced(function*<Name extends string, Input, E, R>(command: Command.Command<Name, Input, unknown, E, R>, ...args: ReadonlyArray<string>) {
  const { message } = (yield* Effect.flip(Command.runWith(command, { version: "test" })(args))) as { readonly message: string }
  assert.notInclude(message, "\n")
  return message
}, Effect.provide(NodeServices.layer))
const refusal = (folder: string, ...args: ReadonlyArray<string>) => refusalOf(sample, "a red circle", "--model", folder, ...args)

describe("weights that are broken", () => {
  const cases: ReadonlyArray<readonly [string, (folder: string) => void, RegExp]> = [
    ["a file of nothing", (at) => fs.writeFileSync(weightsOf(at), ""), /it is shorter than a header\. Fetch it again\.$/],
    ["a header that is not JSON", (at) => {
      const bytes = fs.readFileSync(weightsOf(at))
      fs.writeFileSync(weightsOf(at), bytes.fill("x", 8, 16))
    }, /its header is not JSON\. Fetch it again\.$/],
    ["a header that is a list", headerWith(() => []), /its header is not an object/],
    ["a tensor that is null", headerWith((h) => ({ ...h, [norm]: null })), /tensor model\.norm\.weight has no dtype, shape or data_offsets/],
    ["offsets that are words", headerWith((h) => ({ ...h, [norm]: { ...h[norm], data_offsets: ["0", "1"] } })), /has no dtype, shape or data_offsets/],
    ["a shape below zero", headerWith((h) => void (h[norm]!.shape = [-192])), /has no dtype, shape or data_offsets/],
    ["offsets that say less than the shape", headerWith((h) => void (h[norm]!.data_offsets[1] -= 2)), /model\.norm\.weight has 382 bytes, not what \[192\] needs/],
    ["tensors that overlap", headerWith((h) => void (h[norm]!.data_offsets = [0, 384])), /tensors \S+ and \S+ overlap/],
    ["bytes that belong to no tensor", headerWith((h) => void delete h[norm]), /bytes .*belong to no tensor/],
    ["bytes after the end", (at) => fs.appendFileSync(weightsOf(at), "?"), /its last 1 bytes belong to no tensor/],
    ["a dtype that nobody knows", headerWith((h) => void (h[norm]!.dtype = "F5")), /model\.norm\.weight has the unknown dtype F5/],
    ["whole numbers", headerWith((h) => void (h[norm]!.dtype = "I16")), /: model\.norm\.weight is I16, but F32, F16 or BF16 is read: take weights that are not quantized\.$/],
    ["eight bits", headerWith((h) => {
      h[norm] = { ...h[norm]!, dtype: "F8_E4M3", shape: [384] }
    }), /model\.norm\.weight is \[384\] in the weights, but config\.json asks for \[192\]/],
    ["a config that is quantized", configWith({ quantization_config: { quant_method: "gptq" } }), /config\.json is quantized \(gptq\), which is not read: take the checkpoint that it was made of\.$/],
    ["a config of fewer layers", configWith({ num_hidden_layers: 5 }), /the weights have model\.layers\.5\.\S+, but config\.json has 5 layers/],
    ["a config of more layers", configWith({ num_hidden_layers: 7 }), /the weights have no tensor model\.layers\.6\.\S+, which config\.json asks for/],
    ["a config of other heads", configWith({ num_key_value_heads: 6 }), /k_proj\.weight is \[96,192\] in the weights, but config\.json asks for \[192,192\]/],
    ["heads that share unevenly", configWith({ num_key_value_heads: 4 }), /has 6 query heads, which 4 key heads cannot share evenly/]
  ]
  it.effect.each(cases)("%s", ([, change, expected]) =>
    Effect.gen(function*() {
      assert.match(yield* refusal(policyWith(change)), expected)
    }))

  it.effect("eight bits of the right shape", () =>
    Effect.gen(function*() {
      const { index } = yield* openDecoder(policy)
      const layout = [...index].map(([name, { shape }]): Layout => ({ name, dtype: "F8_E4M3", shape }))
      const folder = policyWith((at) => {
        fs.writeFileSync(weightsOf(at), encodeHeader(layout))
        fs.appendFileSync(weightsOf(at), new Uint8Array(layout.reduce((n, { shape }) => n + sizeOf(shape), 0)))
      })
      assert.match(yield* refusal(folder), /is F8_E4M3, but F32, F16 or BF16 is read/)
    }))

  it.effect("a header of 200 MB, in a file that is long enough for it", () =>
    Effect.gen(function*() {
      const folder = policyWith((at) => {
        fs.writeFileSync(weightsOf(at), new BigUint64Array([200_000_000n]))
        fs.truncateSync(weightsOf(at), 300_000_000)
      })
      assert.match(yield* refusal(folder), /its header claims 200000000 bytes, over the format's 100000000/)
    }))
})

describe("shards", () => {
  const cases: ReadonlyArray<readonly [string, (folder: string) => void, RegExp]> = [
    ["one is missing", (at) => fs.rmSync(shardOf(at, 1)), /model-00002-of-0000\d\.safetensors cannot be read: it does not exist\. Fetch it again\.$/],
    ["one is cut short", (at) => fs.truncateSync(shardOf(at, 1), 100_000), /model-00002-of-0000\d\.safetensors cannot be read: tensor \S+ ends after the file does/],
    ["one is another", (at) => fs.copyFileSync(shardOf(at, 0), shardOf(at, 1)), /\S+ is in model-00001-of-0000\d\.safetensors and in model-00002-of-0000\d\.safetensors: they are not of one checkpoint/],
    ["one lacks a tensor", (at) => fs.writeFileSync(shardOf(at, 1), encodeSafetensors(new Map())), /model-00002-of-0000\d\.safetensors has no tensor \S+, which model\.safetensors\.index\.json says is there/],
    ["one lies elsewhere", (at) => {
      const index = path.join(at, "model.safetensors.index.json")
      fs.writeFileSync(index, fs.readFileSync(index, "utf8").replaceAll("model-00002", "../model-00002"))
    }, /names \.\.\/model-00002-of-0000\d\.safetensors, which is not a file beside it/],
    ["the index is broken", (at) => fs.writeFileSync(path.join(at, "model.safetensors.index.json"), "{"), /model\.safetensors\.index\.json is not what was expected/]
  ]
  it.effect.each(cases)("%s", ([, change, expected]) =>
    Effect.gen(function*() {
      const whole = yield* Effect.promise(() => sharded)
      const folder = fresh()
      fs.cpSync(whole, folder, { recursive: true })
      change(folder)
      assert.match(yield* refusal(folder), expected)
    }))

  it.live("all are there: the numbers are those of the whole file", () =>
    Effect.gen(function*() {
      const rows = path.join(work, "rows.jsonl")
      fs.writeFileSync(rows, JSON.stringify({ prompt: [3, 4, 5], completion: [6, 7, 8] }))
      const folder = yield* Effect.promise(() => sharded)
      assert.isAtLeast(fs.readdirSync(folder).filter((name) => name.startsWith("model-")).length, 4)
      const before = (yield* TestConsole.logLines).length
      for (const model of [policy, folder]) {
        yield* Command.runWith(logprobs, { version: "test" })(["--model", model, "--input", rows, "--device", "cpu"])
      }
      const [whole, spread] = (yield* TestConsole.logLines).slice(before)
      assert.strictEqual(JSON.parse(String(whole)).token_logps.length, 3)
      assert.strictEqual(spread, whole)
    }).pipe(Effect.provide([NodeServices.layer, TestConsole.layer])))
})

describe("adapters", () => {
  it.effect("of another base", () =>
    Effect.gen(function*() {
      const message = yield* refusal(policy, "--adapter", path.join(golden, "adapters/patterns"))
      assert.match(message, /patterns is not an adapter of \S+policy, it was made for golden\/qwen3: \S+ is \[\d+,\d+\], but the base asks for \[\d+,\d+\]\.$/)
    }))

  it.effect("without weights, or with weights that are no floats", () =>
    Effect.gen(function*() {
      const adapter = fresh()
      fs.cpSync(path.join(golden, "qwen3/adapter"), adapter, { recursive: true })
      const weights = path.join(adapter, "adapter_model.safetensors")
      const bytes = fs.readFileSync(weights)
      fs.rmSync(weights)
      const base = path.join(golden, "qwen3")
      const opened = refusal(policyWith((at) => fs.cpSync(base, at, { recursive: true })), "--adapter", adapter)
      assert.match(yield* opened, /adapter_model\.safetensors cannot be read: it does not exist/)
      fs.writeFileSync(weights, Buffer.from(bytes.toString("latin1").replaceAll("\"F32\"", "\"I32\""), "latin1"))
      assert.match(yield* opened, /lora_A\.weight is I32, but F32, F16 or BF16 is read/)
    }))
})

describe("a model that cannot fit", () => {
  const huge = { hidden_size: 131_072, intermediate_size: 524_288, num_hidden_layers: 1, num_attention_heads: 1024, num_key_value_heads: 1024, head_dim: 128 }
  const folder = Effect.runPromise(sparse(huge))

  it.effect("is refused by the sampler and by what scores", () =>
    Effect.gen(function*() {
      const at = yield* Effect.promise(() => folder)
      assert.isAbove(fs.statSync(weightsOf(at)).size, 5e11)
      assert.isBelow(fs.statSync(weightsOf(at)).blocks * 512, 1e6, "the file takes no disk")
      assert.match(yield* refusal(at, "--device", "cpu"), /^The sampler needs about \d{3,4}\.\d GB and \S+ GB are free: take a smaller model/)
      const rows = path.join(work, "huge.jsonl")
      fs.writeFileSync(rows, JSON.stringify({ prompt: [3], completion: [4] }))
      const message = yield* refusalOf(logprobs, "--model", at, "--input", rows, "--device", "cpu")
      assert.match(message, /^The model needs about \d{4}\.\d GB and/)
    }))

  it.effect("is refused by a run, before it reads the weights or writes a file", () =>
    Effect.gen(function*() {
      const out = fresh()
      const message = yield* refusalOf(train, "--model", yield* Effect.promise(() => folder), "--lora-r", "0", "--out", out)
      assert.match(message, /^The trainer needs about \d{4,5}\.\d GB at least, and \S+ GB are free for it: take/)
      assert.isFalse(fs.existsSync(out))
    }))

  it.effect("modules that the model has not", () =>
    Effect.gen(function*() {
      const out = fresh()
      const message = yield* refusalOf(train, "--lora-target-modules", "q_proj,qkv", "--out", out)
      assert.match(message, /^lora_target_modules names qkv, but this model has no matrix of that name: it has q_proj, /)
      assert.isFalse(fs.existsSync(out))
    }))
})

describe("a run that fails before its first step", () => {
  const judge = { OPENAI_BASE_URL: "http://127.0.0.1:9/v1" }
  const run = (out: string) => {
    fs.writeFileSync(path.join(work, "file"), "")
    return vequinox(judge, "train", "--judge", "openai", "--judge-model", "m", "--judge-cache", path.join(work, "file/answers.db"), "--out", out)
  }

  it("leaves no folder, and in one that was there what was there", async () => {
    const [fresh, empty, old] = [path.join(work, "runs/none"), path.join(work, "empty-before"), path.join(work, "old")]
    fs.mkdirSync(empty)
    fs.mkdirSync(old)
    fs.writeFileSync(path.join(old, "notes.txt"), "mine")
    const [refused, ...failed] = await Promise.all([run(old), run(fresh), run(empty)])
    for (const { code, stderr } of failed) {
      assert.notStrictEqual(code, 0)
      assert.match(stderr, /^vequinox: The judge's answers in \S+ cannot be used .*--judge-cache\.\n$/)
    }
    assert.isFalse(fs.existsSync(path.join(work, "runs")))
    assert.deepStrictEqual(fs.readdirSync(empty), [])
    assert.match(refused!.stderr, /^vequinox: \S+old holds files that vequinox did not make, so it changes nothing there: .*\n$/)
    assert.deepStrictEqual(fs.readdirSync(old), ["notes.txt"])
  })
})
