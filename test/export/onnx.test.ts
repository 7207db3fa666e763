/**
 * The exported folder as transformers.js loads and runs it (names, shapes, cache, padding on the left), by onnxruntime
 * itself: the greedy tokens of transformers for every family, and this project's log-probabilities.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ort from "onnxruntime-node"
import { type OnnxPrecision, onnxPrecisions, writeOnnx } from "../../src/export/onnx.ts"
import { openFactors } from "../../src/model/lora-factors.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { writeMerged } from "../../src/model/merge.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const golden = path.join(import.meta.dirname, "../golden")
const work = scratchFolder("export-onnx")
const silent = () => Effect.succeed(() => Effect.void)
let made = 0
const fresh = () => path.join(work, String(made++))

const exported = async (model: string, precisions: ReadonlyArray<OnnxPrecision> = onnxPrecisions, adapter?: string) => {
  const out = fresh()
  await Effect.runPromise(Effect.gen(function*() {
    const base = yield* openDecoder(model)
    return yield* writeOnnx(base, adapter === undefined ? undefined : yield* openFactors(adapter, base), { out, precisions, progress: silent })
  }))
  return out
}

type Rows = ReadonlyArray<ReadonlyArray<number>>
const int64 = (rows: Rows) => new ort.Tensor("int64", BigInt64Array.from(rows.flat().map(BigInt)), [rows.length, rows[0]!.length])

/** A session with its cache: each call reads more tokens of every row. */
const opened = async (file: string, layers: number, rows: number, [kvHeads, headDim]: readonly [number, number]) => {
  const session = await ort.InferenceSession.create(file, { logSeverityLevel: 4 })
  let past: Record<string, ort.Tensor> = Object.fromEntries(Array.from({ length: layers }, (_, i) =>
    ["key", "value"].map((kind) => [`past_key_values.${i}.${kind}`, new ort.Tensor("float32", new Float32Array(0), [rows, kvHeads, 0, headDim])] as const)).flat())
  return {
    session,
    /** @param mask all tokens so far, cached ones included */
    read: async (ids: Rows, mask: Rows, keep: number) => {
      const positions = mask.map((row) => {
        let n = 0
        return row.map((seen) => (seen ? n++ : 1)).slice(row.length - ids[0]!.length)
      })
      const out = await session.run({
        input_ids: int64(ids),
        attention_mask: int64(mask),
        position_ids: int64(positions),
        num_logits_to_keep: new ort.Tensor("int64", BigInt64Array.of(BigInt(keep)), []),
        ...past
      })
      past = Object.fromEntries(Object.entries(out).filter(([name]) => name.startsWith("present"))
        .map(([name, value]) => [name.replace("present", "past_key_values"), value]))
      return out["logits"]!
    }
  }
}

const best = (logits: ArrayLike<number>): number => Array.from(logits).reduce((at, x, i) => (x > logits[at]! ? i : at), 0)
const logSoftmax = (logits: Float32Array, id: number): number => {
  const most = Math.max(...logits)
  return logits[id]! - most - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0))
}

describe.each(["qwen3", "qwen2", "llama", "gemma3_text"])("%s", (family) => {
  const folder = path.join(golden, family)
  const { greedy, input_ids, logps } = JSON.parse(fs.readFileSync(path.join(folder, "golden.json"), "utf8"))
  const row: ReadonlyArray<number> = input_ids[0]
  const open = async (file: string, rows: number) => {
    const { config: c } = await Effect.runPromise(openDecoder(folder))
    return opened(file, c.layers, rows, [c.kvHeads, c.headDim])
  }

  it("decodes transformers' greedy tokens with the cache, beside a row with padding on its left", async () => {
    const out = await exported(folder, ["f32"])
    const { read } = await open(path.join(out, "onnx/model.onnx"), 2)
    const prompt = row.slice(0, 4)
    const tokens: Array<Array<number>> = [[], []]
    let ids = [[9, 9, 9, ...prompt], row.slice(0, 7)] // 9: padding, whatever it is
    let mask = [[0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]]
    for (let step = 0; step < 100; step++) {
      const { data, dims } = await read(ids, mask, 1)
      assert.deepStrictEqual(dims.slice(0, 2), [2, 1])
      const vocab = dims[2]!
      ids = tokens.map((row, n) => {
        row.push(best((data as Float32Array).subarray(n * vocab, (n + 1) * vocab)))
        return row.slice(-1)
      })
      mask = mask.map((row) => [...row, 1])
    }
    assert.deepStrictEqual(tokens[0], greedy.slice(0, 100))
  })

  // Random weights make sharp logits: what 8 bits cost a trained model is measured in test/outside.
  it.each([["f32", "model.onnx", 1e-4], ["q8_0", "model_quantized.onnx", 0.4]] as const)("has transformers' log-probabilities in %s", async (precision, file, tolerance) => {
    const out = await exported(folder, [precision])
    assert.deepStrictEqual(fs.readdirSync(path.join(out, "onnx")), [file])
    const { read } = await open(path.join(out, "onnx", file), 1)
    const { data, dims } = await read([row], [row.map(() => 1)], 0)
    assert.deepStrictEqual(dims.slice(0, 2), [1, row.length])
    const vocab = dims[2]!
    const gaps = row.slice(1).map((id, t) => Math.abs(logSoftmax((data as Float32Array).subarray(t * vocab, (t + 1) * vocab), id) - logps[0][t]))
    assert.isBelow(Math.max(...gaps), tolerance)
  })

  it("with an adapter is the merged checkpoint, bit for bit", async () => {
    const adapter = path.join(folder, "adapter")
    const merged = fresh()
    await Effect.runPromise(Effect.gen(function*() {
      const base = yield* openDecoder(folder)
      yield* writeMerged(base, yield* openFactors(adapter, base), { out: merged, dtype: undefined, maxShardBytes: 5e9 })
    }))
    const [a, b, plain] = [await exported(folder, onnxPrecisions, adapter), await exported(merged), await exported(folder)]
    for (const file of ["onnx/model.onnx", "onnx/model_quantized.onnx"]) {
      const bytes = (folder: string) => fs.readFileSync(path.join(folder, file))
      assert.isTrue(bytes(a).equals(bytes(b)), file)
      assert.isFalse(bytes(a).equals(bytes(plain)), file)
    }
  })
})

describe("the folder", () => {
  it("has names and shapes that transformers.js resolves", async () => {
    const out = await exported(path.join(golden, "qwen3"), ["f32"])
    const session = await ort.InferenceSession.create(path.join(out, "onnx/model.onnx"))
    assert.deepStrictEqual(session.inputNames.slice().sort(), [
      "attention_mask", "input_ids", "num_logits_to_keep",
      ...[0, 1].flatMap((i) => [`past_key_values.${i}.key`, `past_key_values.${i}.value`]),
      "position_ids"
    ])
    // Lengths that it cannot know are 0, but for this name's.
    const cache = session.inputMetadata.find(({ name }) => name === "past_key_values.0.key")!
    assert.deepStrictEqual((cache as { readonly shape: unknown }).shape, ["batch_size", 2, "past_sequence_length", 16])
    assert.deepStrictEqual(session.outputNames.slice().sort(), ["logits", "present.0.key", "present.0.value", "present.1.key", "present.1.value"])
  })

  it("of weights over 64 MB has them beside the model, and says so", async () => {
    const model = fresh()
    fs.mkdirSync(model)
    const { encodeHeader } = await import("../../src/engine/weights/safetensors.ts")
    const { parameterShapes } = await import("../../src/engine/nets/transformer.ts")
    const config = { ...JSON.parse(fs.readFileSync(path.join(golden, "qwen3/config.json"), "utf8")), vocab_size: 520_000 }
    fs.writeFileSync(path.join(model, "config.json"), JSON.stringify(config))
    const { readDecoderConfig } = await import("../../src/model/model-folder.ts")
    const layout = [...parameterShapes(await Effect.runPromise(readDecoderConfig(model)))].map(([name, shape]) => ({ name, shape, dtype: "BF16" }))
    const header = encodeHeader(layout)
    const bytes = layout.reduce((n, { shape }) => n + 2 * shape.reduce((a, b) => a * b, 1), 0)
    fs.writeFileSync(path.join(model, "model.safetensors"), header)
    fs.truncateSync(path.join(model, "model.safetensors"), header.length + bytes) // zeros
    const out = await exported(model)
    assert.deepStrictEqual(fs.readdirSync(path.join(out, "onnx")).sort(), ["model.onnx", "model.onnx_data", "model_quantized.onnx"])
    assert.strictEqual(fs.statSync(path.join(out, "onnx/model.onnx_data")).size, 2 * bytes)
    const said = JSON.parse(fs.readFileSync(path.join(out, "config.json"), "utf8"))
    assert.deepStrictEqual(said["transformers.js_config"], { use_external_data_format: { "model.onnx": 1 } })
    await (await ort.InferenceSession.create(path.join(out, "onnx/model.onnx"))).release()
  })

  it("that holds anything is left alone; a broken base leaves nothing", async () => {
    const out = fresh()
    fs.mkdirSync(out)
    fs.writeFileSync(path.join(out, "mine"), "")
    const base = await Effect.runPromise(openDecoder(path.join(golden, "qwen3")))
    const options = { precisions: onnxPrecisions, progress: silent }
    const { message } = await Effect.runPromise(Effect.flip(writeOnnx(base, undefined, { ...options, out })))
    assert.match(message, /exists and is not an empty folder/)
    assert.deepStrictEqual(fs.readdirSync(out), ["mine"])
    const short = fresh()
    fs.cpSync(path.join(golden, "qwen3"), short, { recursive: true })
    const cut = await Effect.runPromise(openDecoder(short))
    fs.truncateSync(path.join(short, "model.safetensors"), 20_000)
    const parent = fresh()
    fs.mkdirSync(parent)
    const failed = await Effect.runPromise(Effect.flip(writeOnnx(cut, undefined, { ...options, out: path.join(parent, "out") })))
    assert.match(failed.message, /ended while it was read/)
    assert.deepStrictEqual(fs.readdirSync(parent), [])
  })
})
