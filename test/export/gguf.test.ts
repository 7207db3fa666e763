/**
 * The exported GGUF file, read by a reader of its own: names, values and tokenizers. That llama.cpp computes the same
 * from it is for `pnpm run test:outside`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { encodeQ8_0 } from "../../src/export/ggml-types.ts"
import { type GgufPrecision, writeGguf } from "../../src/export/gguf.ts"
import { ggufTokenizer } from "../../src/export/gguf-tokenizer.ts"
import { openFactors } from "../../src/model/lora-factors.ts"
import { openDecoder, readTensor } from "../../src/model/model-folder.ts"
import { writeMerged } from "../../src/model/merge.ts"
import { readGguf } from "../support/read-gguf.ts"
import { scratchFolder } from "../support/scratch-folder.ts"
import { withTokenizer } from "../support/small-tokenizer.ts"

const root = path.join(import.meta.dirname, "../..")
const golden = path.join(root, "test/golden")
const work = scratchFolder("export-gguf")
const silent = () => Effect.succeed(() => Effect.void)
let made = 0
const fresh = (ending = "") => path.join(work, `${made++}${ending}`)
const model = (family: string) => withTokenizer(path.join(golden, family), fresh())

const exporting = Effect.fnUntraced(function*(folder: string, precision: GgufPrecision, adapter?: string, out = fresh(".gguf")) {
  const base = yield* openDecoder(folder)
  const factors = adapter === undefined ? undefined : yield* openFactors(adapter, base)
  return { out, ...(yield* writeGguf(base, factors, { out, precision, name: "test", progress: silent })) }
})

describe("tensors", () => {
  it.effect.each(["qwen3", "qwen2", "llama", "gemma3_text"])("of %s: every one, under llama.cpp's names", (family) =>
    Effect.gen(function*() {
      const folder = model(family)
      const { out } = yield* exporting(folder, "f32")
      const { metadata, tensors } = readGguf(out)
      const base = yield* openDecoder(folder)
      const { headDim: D, layers } = base.config
      const arch = { qwen3: "qwen3", qwen2: "qwen2", llama: "llama", gemma3_text: "gemma3" }[family]!
      assert.strictEqual(metadata.get("general.architecture"), arch)
      assert.strictEqual(metadata.get(`${arch}.block_count`), layers)
      assert.strictEqual((metadata.get("tokenizer.ggml.tokens") as Array<string>).length, base.config.vocab)
      const ofLayer = tensors.size - (family === "llama" ? 4 : 2) // embedding, norm; llama: output table and rotary factors
      assert.strictEqual(ofLayer % layers, 0)
      assert.strictEqual(tensors.size - (family === "llama" ? 1 : 0), base.index.size)
      const same = (name: string, from: string, by: (x: number, i: number) => number = (x) => x) => {
        const { data, shape } = readTensor(base, from)
        const read = tensors.get(name)!
        assert.deepStrictEqual(read.dims, shape.toReversed(), name)
        assert.deepStrictEqual(read.values, data.map(by), name)
      }
      const norm = family === "gemma3_text" ? (x: number) => 1 + x : undefined
      same("token_embd.weight", "model.embed_tokens.weight")
      same("output_norm.weight", "model.norm.weight", norm)
      for (let i = 0; i < layers; i++) {
        same(`blk.${i}.attn_v.weight`, `model.layers.${i}.self_attn.v_proj.weight`)
        same(`blk.${i}.attn_output.weight`, `model.layers.${i}.self_attn.o_proj.weight`)
        same(`blk.${i}.ffn_down.weight`, `model.layers.${i}.mlp.down_proj.weight`)
        same(`blk.${i}.attn_norm.weight`, `model.layers.${i}.input_layernorm.weight`, norm)
        same(`blk.${i}.ffn_norm.weight`, `model.layers.${i}.${family === "gemma3_text" ? "pre_feedforward" : "post_attention"}_layernorm.weight`, norm)
        if (family === "qwen2") same(`blk.${i}.attn_q.bias`, `model.layers.${i}.self_attn.q_proj.bias`)
        if (family === "qwen3") same(`blk.${i}.attn_k_norm.weight`, `model.layers.${i}.self_attn.k_norm.weight`)
        if (family === "gemma3_text") { // llama.cpp scales by 1/√8, the model by 1/√12
          same(`blk.${i}.attn_q_norm.weight`, `model.layers.${i}.self_attn.q_norm.weight`, (x) => (1 + x) * Math.sqrt(8 / 12))
        }
        const wide = base.config.hidden
        const q = readTensor(base, `model.layers.${i}.self_attn.q_proj.weight`).data
        // Row 2 i of a head was row i, row 2 i + 1 was row D/2 + i: only llama's.
        const rowOf = (row: number) => {
          const [head, within] = [Math.floor(row / D), row % D]
          return family === "llama" ? head * D + (within % 2) * D / 2 + Math.floor(within / 2) : row
        }
        assert.deepStrictEqual(tensors.get(`blk.${i}.attn_q.weight`)!.values, q.map((_, at) => q[rowOf(Math.floor(at / wide)) * wide + at % wide]!))
      }
      if (family === "llama") {
        const factors = tensors.get("rope_freqs.weight")!.values
        assert.strictEqual(factors.length, D / 2)
        assert.strictEqual(factors[0], 1) // shortest wave: as it was
        assert.strictEqual(factors.at(-1), 8) // longest: stretched by the whole factor
      }
    }))

  it.effect("in Q8_0 are within half a step, and rows that are no whole blocks are float16", () =>
    Effect.gen(function*() {
      const folder = model("qwen3") // 32 wide, 48 in the feed-forward layer
      const base = yield* openDecoder(folder)
      const { tensors } = readGguf((yield* exporting(folder, "q8_0")).out)
      const down = tensors.get("blk.0.ffn_down.weight")!
      assert.strictEqual(down.type, 1)
      readTensor(base, "model.layers.0.mlp.down_proj.weight").data.forEach((x, i) =>
        assert.approximately(down.values[i]!, x, Math.abs(x) * 2 ** -11 + 2 ** -25))
      assert.strictEqual(tensors.get("blk.0.attn_norm.weight")!.type, 0)
      const up = tensors.get("blk.0.ffn_up.weight")!
      assert.strictEqual(up.type, 8)
      const { data } = readTensor(base, "model.layers.0.mlp.up_proj.weight")
      for (let block = 0; block < data.length; block += 32) {
        const values = data.subarray(block, block + 32)
        const step = Math.max(...values.map(Math.abs)) / 127
        // Half a step by the rounding, and the scale's own rounding to float16.
        values.forEach((x, i) => assert.approximately(up.values[block + i]!, x, step * (0.5001 + 127 * 2 ** -11)))
      }
    }))

  it("Q8_0 rounds halves away from zero, and a block of zeros is zeros", () => {
    const values = new Float32Array(64)
    values.set([127, 0.5, -0.5, 1.5, -1.5, 0.49, -127])
    const bytes = encodeQ8_0(values)
    assert.deepStrictEqual([...new Int8Array(bytes.buffer).subarray(2, 9)], [127, 1, -1, 2, -2, 0, -127])
    assert.deepStrictEqual([bytes[0], bytes[1]], [0x00, 0x3c]) // 1 as float16
    assert.isTrue(bytes.subarray(34).every((byte) => byte === 0))
  })

  it.effect("with an adapter are the merged checkpoint's, byte for byte", () =>
    Effect.gen(function*() {
      const folder = model("llama")
      const merged = fresh()
      const adapter = path.join(folder, "adapter")
      const base = yield* openDecoder(folder)
      yield* writeMerged(base, yield* openFactors(adapter, base), { out: merged, dtype: undefined, maxShardBytes: 5e9 })
      for (const file of ["tokenizer.json", "tokenizer_config.json"]) fs.copyFileSync(path.join(folder, file), path.join(merged, file))
      const bytes = (out: string) => fs.readFileSync(out)
      const with_ = bytes((yield* exporting(folder, "f16", adapter)).out)
      assert.isTrue(with_.equals(bytes((yield* exporting(merged, "f16")).out)))
      assert.isFalse(with_.equals(bytes((yield* exporting(folder, "f16")).out)))
    }))
})

describe("tokenizers", () => {
  const folderOf = (kind: string, change: (json: Record<string, any>) => void = () => {}) => {
    const folder = fresh()
    fs.cpSync(path.join(golden, "tokenizers", kind), folder, { recursive: true })
    const at = path.join(folder, "tokenizer.json")
    const json = JSON.parse(fs.readFileSync(at, "utf8"))
    change(json)
    fs.writeFileSync(at, JSON.stringify(json))
    if (!fs.existsSync(path.join(folder, "chat_template.jinja"))) fs.writeFileSync(path.join(folder, "chat_template.jinja"), "{{ messages }}")
    return folder
  }
  it.effect.each([
    ["qwen2", "qwen2"], ["qwen3", "qwen2"], ["smollm2", "smollm"], ["llama3", "llama-bpe"], ["llama2", "default"], ["gemma3_text", "default"]
  ] as const)("of %s splits text as llama.cpp's %s", ([kind, pre]) =>
    Effect.gen(function*() {
      const found = yield* ggufTokenizer(folderOf(kind), 600)
      assert.deepStrictEqual([found.pre, found.differing[0]], [pre, 0])
    }))

  it.effect("of the embedded policy is written whole: no prompt is cut otherwise, and what is, is counted", () =>
    Effect.gen(function*() {
      const { differing, out, pre } = yield* exporting(path.join(root, "models/policy"), "q8_0")
      assert.deepStrictEqual([pre, ...differing], ["default", 4, 12])
      const { metadata } = readGguf(out)
      assert.strictEqual(metadata.get("tokenizer.ggml.model"), "llama")
      const [tokens, types, scores] = ["tokens", "token_type", "scores"].map((name) => metadata.get(`tokenizer.ggml.${name}`) as Array<unknown>)
      assert.deepStrictEqual([tokens![2], types![2]], ["<|im_end|>", 3])
      const prefill = tokens!.indexOf("<svg▁xmlns=\"http://www.w3.org/2000/svg\"▁viewBox=\"0▁0▁64▁64\">")
      assert.isAbove(prefill, 0)
      assert.isBelow(scores![prefill] as number, 0)
      assert.deepStrictEqual([tokens!.at(-1), types!.at(-1)], ["[PAD1023]", 5])
      assert.strictEqual(types![tokens!.indexOf("<0xFF>")], 6)
      assert.strictEqual(new Set(tokens).size, 1024)
      assert.strictEqual(metadata.get("tokenizer.ggml.eos_token_id"), 2)
      assert.strictEqual(metadata.get("tokenizer.ggml.add_bos_token"), false)
      assert.match(metadata.get("tokenizer.chat_template") as string, /im_start/)
    }))

  it.effect.each([
    ["a split of prompts that merging does not follow", (json: Record<string, any>) => {
      json["pre_tokenizer"].pretokenizers[0].pattern.Regex = "."
    }],
    ["lower case", (json: Record<string, any>) => {
      json["normalizer"] = { type: "Lowercase" }
    }]
  ] as const)("with %s are refused", ([, change]) =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(ggufTokenizer(folderOf("qwen2", change), 600))
      assert.match(message, /tokenizer\.json cuts text in a way that llama\.cpp does not know: export it --to onnx/)
    }))

  it.effect("with more tokens than the model are refused", () =>
    Effect.gen(function*() {
      const { message } = yield* Effect.flip(ggufTokenizer(folderOf("qwen3"), 500))
      assert.match(message, /has 526 tokens, but config\.json has 500/)
    }))
})

describe("the file", () => {
  it.effect("that exists is left alone", () =>
    Effect.gen(function*() {
      const out = fresh(".gguf")
      fs.writeFileSync(out, "mine")
      const { message } = yield* Effect.flip(exporting(model("qwen3"), "f32", undefined, out))
      assert.match(message, /exists already and is not overwritten: choose another with --out/)
      assert.strictEqual(fs.readFileSync(out, "utf8"), "mine")
    }))

  it.effect("is whole or not there: a broken base, an interruption, a value that the precision cannot hold", () =>
    Effect.gen(function*() {
      const parent = path.join(fresh(), "deep")
      const out = path.join(parent, "x.gguf")
      const folder = model("qwen3")
      const base = yield* openDecoder(folder)
      const options = { out, precision: "f16", name: "x", progress: silent } as const
      const never = () => Effect.succeed(() => Effect.never)
      const fiber = yield* Effect.forkChild(writeGguf(base, undefined, { ...options, progress: never }), { startImmediately: true })
      for (let i = 0; i < 500 && !fs.existsSync(parent); i++) yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 10)))
      assert.deepStrictEqual(fs.readdirSync(parent).filter((name) => name.endsWith(".gguf")), [])
      yield* Fiber.interrupt(fiber)
      assert.isFalse(fs.existsSync(parent))
      fs.truncateSync(path.join(folder, "model.safetensors"), 20_000)
      assert.match((yield* Effect.flip(writeGguf(base, undefined, options))).message, /ended while it was read/)
      assert.isFalse(fs.existsSync(parent))
      const large = yield* openDecoder(model("qwen3"))
      const adapter = yield* openFactors(path.join(golden, "qwen3/adapter"), large)
      const huge = { ...adapter, lora: { ...adapter.lora, alpha: 1e9 } }
      assert.match((yield* Effect.flip(writeGguf(large, huge, options))).message, /which is no float16: choose another --precision/)
      assert.isFalse(fs.existsSync(parent))
    }))

  it.effect("is refused where llama.cpp would compute something else", () =>
    Effect.gen(function*() {
      const folder = model("qwen3")
      const at = path.join(folder, "config.json")
      const json = JSON.parse(fs.readFileSync(at, "utf8"))
      fs.writeFileSync(at, JSON.stringify({ ...json, rope_parameters: { rope_theta: 1e4, rope_type: "llama3", factor: 8, original_max_position_embeddings: 64 } }))
      const { message } = yield* Effect.flip(exporting(folder, "f32"))
      assert.match(message, /has llama3 rotary scaling, which llama\.cpp reads for Llama only and not for qwen3\.$/)
    }))
})
