/** Checkpoints that torch.save wrote (test/golden/make_scorers.py), read in place and without running anything. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createSession } from "../../layers/onnx/session.ts"
import { type CheckpointInvalid, readTensor, type WeightFiles, weightsHash } from "../../src/model/model-folder.ts"
import { FormatError } from "../../src/model/torch/byte-reader.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { frozen, parameterSource } from "../../src/engine/weights/parameters.ts"
import { random } from "../../src/engine/random.ts"
import { openTorch, readTorch } from "../../src/model/torch/torch-file.ts"

const folder = path.join(import.meta.dirname, "../golden/torch")
const at = (name: string) => path.join(folder, name)
const golden = JSON.parse(fs.readFileSync(at("golden.json"), "utf8"))
const dtypes: Readonly<Record<string, string>> = { float32: "F32", float16: "F16", bfloat16: "BF16", int64: "I64" }

/** The numbers of a tensor, integers included. */
const numbers = (files: WeightFiles, name: string): Array<number> => {
  const { dtype, file, length, offset } = files.index.get(name)!
  if (dtype !== "I64") return Array.from(readTensor(files, name).data)
  const bytes = fs.readFileSync(path.join(files.folder, file)).subarray(offset, offset + length)
  return Array.from(new BigInt64Array(Uint8Array.from(bytes).buffer), Number)
}

/** In memory: what a file of these bytes gives. */
const parse = (bytes: Uint8Array, unwrap?: string) =>
  readTorch((offset, length) => bytes.slice(offset, offset + length), bytes.length, unwrap)

describe("torch checkpoints", () => {
  it.effect("every dtype, views of one storage, parameters, scalars: shape and numbers as torch has them", () =>
    Effect.gen(function*() {
      const plain = yield* openTorch(at("kinds.pt"))
      const nested = yield* openTorch(at("nested.pt"), "state_dict")
      assert.strictEqual(plain.index.size + nested.index.size, Object.keys(golden).length)
      for (const [name, { data, dtype, shape }] of Object.entries<any>(golden)) {
        const [files, key] = name.startsWith("nested.") ? [nested, name.slice("nested.".length)] : [plain, name]
        const entry = files.index.get(key)!
        assert.strictEqual(entry.dtype, dtypes[dtype])
        assert.deepStrictEqual([...entry.shape], shape)
        assert.deepStrictEqual(numbers(files, key), data, name)
      }
      assert.strictEqual(plain.index.get("rows")!.offset, plain.index.get("whole")!.offset + 12)
    }))

  it.effect("zip64, as over 4 GB", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(numbers(yield* openTorch(at("zip64.pt")), "weight"), golden.whole.data)
    }))

  it("weights are hashed piece by piece, since they may be larger than what is read at once", () => {
    const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-"))
    const bytes = Uint8Array.from({ length: 2.5 * 2 ** 20 }, (_, i) => (i * 7919) >> 5)
    fs.writeFileSync(path.join(scratch, "a.pt"), bytes)
    const entry = { dtype: "U8", shape: [1], offset: 0, length: 1, file: "a.pt" }
    const hash = weightsHash({ folder: scratch, index: new Map([["a", entry], ["b", entry]]) })
    fs.rmSync(scratch, { recursive: true })
    assert.strictEqual(hash, createHash("sha256").update(bytes).digest("hex"))
  })

  it("onnxruntime maps the weights out of the file", async () => {
    const files = await Effect.runPromise(openTorch(at("kinds.pt")))
    const g = new Graph()
    const { get } = parameterSource(g, frozen(files.index))
    for (const name of ["rows", "float16", "bfloat16", "scalar"]) {
      g.output(`${name}_out`, g.add(get(name, golden[name].shape), g.scalar(0)))
    }
    const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped", weightsFolder: files.folder })
    const out = await session.run({})
    await session.release()
    for (const [name, { data }] of Object.entries(out)) assert.deepStrictEqual(Array.from(data, Number), golden[name.replace("_out", "")].data)
  })

  const refused: ReadonlyArray<readonly [name: string, file: string, unwrap: string | undefined, message: RegExp]> = [
    ["a pickle that calls os.system", "evil.pt", undefined, /names the Python object "(posix|nt)\.system".*nothing in it was run\.$/],
    ["a file from before PyTorch 1.6", "legacy.pt", undefined, /before PyTorch 1\.6/],
    ["compressed entries", "deflated.pt", undefined, /is compressed/],
    ["another pickle protocol", "protocol4.pt", undefined, /protocol 4/],
    ["a transposed tensor, by name", "strided.pt", undefined, /"weight" is not contiguous \(strides \[1,3\] of \[3,4\]\)/],
    ["tensors that are not aligned", "unaligned.pt", undefined, /"weight" is not aligned to 4 bytes/],
    ["a dict that is not there", "kinds.pt", "state_dict", /no dict "state_dict"/],
    ["a tensor where a dict should be", "kinds.pt", "scalar", /no dict "scalar"/],
    ["a dict without tensors of its own", "nested.pt", undefined, /no tensors/],
    ["a file that is not torch's", "golden.json", undefined, /not a file of torch\.save/],
    ["a file that is not there", "missing.pt", undefined, /There is no file/]
  ]
  for (const [name, file, unwrap, message] of refused) {
    it.effect(`refuses ${name}`, () =>
      Effect.gen(function*() {
        const error: CheckpointInvalid = yield* Effect.flip(openTorch(at(file), unwrap))
        assert.strictEqual(error._tag, "CheckpointInvalid")
        assert.match(error.message, message)
        assert.notInclude(error.message, "\n")
        assert.isFalse(fs.existsSync("pwned"))
      }))
  }

  it.effect("a file cut off anywhere is refused", () =>
    Effect.gen(function*() {
      const whole = fs.readFileSync(at("kinds.pt"))
      for (let length = 0; length < whole.length; length++) assert.throws(() => parse(whole.subarray(0, length)), FormatError)
      const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-"))
      fs.writeFileSync(path.join(scratch, "half.pt"), whole.subarray(0, whole.length / 2))
      const error = yield* Effect.flip(openTorch(path.join(scratch, "half.pt")))
      fs.rmSync(scratch, { recursive: true })
      assert.match(error.message, /cut off: fetch it again/)
    }))

  // Whatever the bytes, the parser answers or says FormatError; tensors it reports lie inside the file.
  it.each(["kinds.pt", "nested.pt", "zip64.pt"])("%s with random bytes changed", (file) => {
    const whole = fs.readFileSync(at(file))
    const end = whole.length
    let read = 0
    for (let round = 0; round < 1500; round++) {
      const draw = random(round, 7)
      const bytes = Uint8Array.from(whole)
      for (let n = Math.ceil(draw() * 4); n > 0; n--) bytes[Math.floor(draw() * end)] = Math.floor(draw() * 256)
      try {
        for (const { length, offset } of parse(bytes, file === "nested.pt" ? "state_dict" : undefined).values()) {
          assert.isTrue(offset >= 0 && length >= 0 && offset + length <= end)
        }
        read++
      } catch (error) {
        if (!(error instanceof FormatError)) throw error
      }
    }
    assert.isTrue(read > 0 && read < 1500, String(read))
  })
})
