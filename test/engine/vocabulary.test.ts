/** Log-probabilities over a vocabulary in slices: equal to the plain softmax over all of it, and so are their derivatives. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createSession, float32, int64 } from "../../layers/onnx/session.ts"
import { openWeights } from "../../src/model/model-folder.ts"
import { gradients } from "../../src/engine/graph/gradients.ts"
import { Graph, type Value } from "../../src/engine/graph/graph.ts"
import { frozen, parameterSource } from "../../src/engine/weights/parameters.ts"
import { gaussian, random } from "../../src/engine/random.ts"
import { encodeSafetensors, type FileDType } from "../../src/engine/weights/safetensors.ts"
import { vocabularyLogps } from "../../src/engine/nets/vocabulary.ts"

const [tokens, width, vocab] = [7, 16, 50]
const draw = random(5)
const noise = (n: number, scale: number) => Float32Array.from({ length: n }, () => scale * gaussian(draw))
const table = { shape: [vocab, width], data: noise(vocab * width, 1) }
// Logits of some tens: exp of them alone would overflow for the last row.
const x = noise(tokens * width, 3).map((value, i) => (i >= (tokens - 1) * width ? 40 * value : value))
const targets = [0, 49, 20, 21, 41, 7, 12]
const coefficients = noise(tokens, 1)

describe.each<FileDType>(["F32", "BF16"])("log-probabilities by slices of a table in %s", (dtype) => {
  let folder = ""
  beforeAll(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "vequinox-vocabulary-"))
    fs.writeFileSync(path.join(folder, "model.safetensors"), encodeSafetensors(new Map([["e", table]]), dtype))
  })
  afterAll(() => fs.rmSync(folder, { recursive: true }))

  const run = async (build: (g: Graph, rows: Value, ids: Value) => Promise<Value>) => {
    const g = new Graph()
    const rows = g.input("x", "float32", ["token", width])
    const logps = await build(g, rows, g.input("targets", "int64", ["token"]))
    const loss = g.sum(g.mul(logps, g.input("coefficients", "float32", ["token"])), [0], true)
    g.output("logps", logps)
    g.output("loss", loss)
    g.output("dx", gradients(g, loss, g.constant([1], [1]), [rows])[0]!)
    const session = await createSession(g, { device: "cpu", threads: 1, weights: "mapped", weightsFolder: fs.realpathSync(folder) })
    const out = await session.run({
      x: float32([tokens, width], x),
      targets: int64([tokens], targets),
      coefficients: float32([tokens], coefficients)
    })
    await session.release()
    return out
  }
  const source = async (g: Graph) =>
    parameterSource(g, frozen((await Effect.runPromise(openWeights(folder))).index))

  const plain = () =>
    run(async (g, rows, ids) => {
      const { get } = await source(g)
      const logits = g.emit("Gemm", [rows, get("e", [vocab, width])], { transB: 1 })
      const p = g.emit("Softmax", [logits])
      g.output("concentrations", g.emit("Log", [g.sum(g.mul(p, p), [1])]))
      const picked = g.emit("GatherElements", [g.emit("LogSoftmax", [logits]), g.unsqueeze(ids, [1])], { axis: 1 })
      return g.squeeze(picked, [1])
    })

  // One slice; some of which the last is short; slices of single rows.
  it.each([50, 64, 21, 7, 1])("%i rows of it at a time", async (size) => {
    const sliced = await run(async (g, rows, ids) => {
      const { rows: rowsOf, slices } = await source(g)
      const parts = slices("e", [vocab, width], size)
      assert.strictEqual(parts.length, Math.ceil(vocab / size))
      const { concentrations, logps } = vocabularyLogps(g, rows, parts, rowsOf("e", [vocab, width], ids), true, true)
      g.output("concentrations", concentrations!)
      return logps
    })
    const whole = await plain()
    for (const name of ["logps", "loss", "dx", "concentrations"]) {
      const expected = whole[name]!.data as Float32Array
      const largest = Math.max(...expected.map(Math.abs))
      const got = sliced[name]!.data as Float32Array
      assert.strictEqual(got.length, expected.length)
      expected.forEach((value, i) => assert.approximately(got[i]!, value, 1e-5 * largest, `${name}[${i}]`))
    }
  })
})
