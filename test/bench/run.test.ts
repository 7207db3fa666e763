import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { secondsByPart } from "../../bench/run/stack-samples.ts"
import { readKernels } from "../../bench/run/kernels.ts"
import { measure } from "../../bench/run/measure.ts"
import { Report, reportOf, tableOf } from "../../bench/run/report.ts"
import { modelOf, smolShape } from "../../bench/run/shapes.ts"
import { timeOf } from "../../bench/run/shares.ts"
import { benchRun } from "../../bench/run.ts"
import { graphs } from "../../layers/onnx/trainer-graphs.ts"
import type { TrainerSpec } from "../../layers/onnx/trainer-program.ts"
import { Graph } from "../../src/engine/graph/graph.ts"
import { reachable } from "../../src/engine/graph/run-order.ts"
import { allLinear, type DecoderConfig, modulesOf, parameterShapes } from "../../src/engine/nets/transformer.ts"
import { decode, prefill, verify } from "../../src/engine/sampling/decoding.ts"
import { initialAdapter, type LoraConfig, type QuantizedWeights, type WeightIndex } from "../../src/engine/weights/parameters.ts"
import { type QuantizedPrecision, quantizedShapes } from "../../src/engine/weights/quantization.ts"
import { sizeOf } from "../../src/engine/weights/tensor.ts"
import { embedded } from "../../src/system/installed.ts"
import { resolveConfig } from "../../src/wiring/settings.ts"
import { trainerDefaults } from "../../src/wiring/trainer-defaults.ts"
import { openDecoder } from "../../src/model/model-folder.ts"
import { scratchFolder } from "../support/scratch-folder.ts"

const small = { ...smolShape, vocab: 64, hidden: 32, intermediate: 64, layers: 2, heads: 4, kvHeads: 2, headDim: 8, queryScalar: 8 }
const models: Readonly<Record<DecoderConfig["family"], DecoderConfig>> = {
  llama: small,
  qwen2: { ...small, family: "qwen2" },
  qwen3: { ...small, family: "qwen3", tied: false },
  gemma3_text: { ...small, family: "gemma3_text", sliding: { layers: [true, false], window: 4, ropeTheta: 10_000 } }
}
const lora: LoraConfig = { r: 2, alpha: 4, targets: allLinear }

const entries = (shapes: Iterable<readonly [string, ReadonlyArray<number>, string]>): WeightIndex =>
  new Map([...shapes].map(([name, shape, dtype]) => [name, { file: "w", dtype, shape, offset: 0, length: sizeOf(shape) * 2 }]))
const indexOf = (c: DecoderConfig) => entries([...parameterShapes(c)].map(([name, shape]) => [name, shape, "BF16"] as const))
const quantizedOf = (c: DecoderConfig, precision: QuantizedPrecision): QuantizedWeights => ({
  precision,
  index: entries([...modulesOf(c).map(({ in: width, module, out }) => [`${module}.weight`, out, width] as const), [c.tied ? "model.embed_tokens.weight" : "lm_head.weight", c.vocab, c.hidden] as const]
    .flatMap(([name, rows, width]) => {
      const { scales, values } = quantizedShapes(precision, rows, width)
      return [[`${name}.values`, values, "U8"] as const, [`${name}.scales`, scales, "F32"] as const]
    }))
})

/** Names of the nodes that run in every call and work for no part. */
const withoutPart = (g: Graph) => reachable(g).nodes.filter((node) => node.part === undefined && !g.isConstant(node.outputs[0]!)).map(({ outputs }) => outputs[0]!.name)
const partsOf = (g: Graph) => new Set(reachable(g).nodes.map(({ part }) => part))

describe("every node has a part", () => {
  for (const [family, c] of Object.entries(models)) {
    it(`that a sampler of ${family} runs`, () => {
      for (const quantized of [undefined, quantizedOf(c, "dynamic_int8"), quantizedOf(c, "int8")]) {
        const weights = { index: indexOf(c), trainable: "none", lora, quantized } as const
        const [read, single, shared, drafted] = [new Graph(), new Graph(), new Graph(), new Graph()]
        prefill(read, c, weights, 16, { minP: true })
        decode(single, c, weights, 16, { minP: true }, false)
        decode(shared, c, weights, 16, { minP: true }, true)
        verify(drafted, c, weights, 16, { minP: true }, true)
        for (const g of [read, single, shared, drafted]) {
          assert.deepStrictEqual(withoutPart(g), [])
          for (const part of ["weights", "attention", "head", "adapters", "norms", "embedding"] as const) assert.isTrue(partsOf(g).has(part), part)
        }
      }
    })
    it(`that a trainer of ${family} runs, backwards too`, () => {
      for (const adapter of [lora, undefined]) {
        const parameters = adapter === undefined
          ? new Map([...parameterShapes(c)].map(([name, shape]) => [name, { shape, data: new Float32Array(0) }]))
          : initialAdapter(modulesOf(c), adapter, 0)
        for (const gradientCheckpointing of [false, true]) {
          for (const lossType of ["sigmoid", "grpo", "cross_entropy"] as const) {
            const { objective, options } = trainerDefaults(16, 64, { gradientCheckpointing })
            const spec = { checkpoint: { config: c, index: indexOf(c), folder: "" }, lora: adapter, parameters, options, objective: { ...objective, lossType } }
            const g = graphs.objective(spec as unknown as TrainerSpec)
            assert.deepStrictEqual(withoutPart(g), [])
            // Adapters are trained: half of their products and more belong to the way back.
            const adapters = reachable(g).nodes.filter(({ part }) => part === "adapters").length
            assert.isTrue(adapter === undefined ? adapters === 0 : adapters > 4 * modulesOf(c).length)
          }
        }
      }
    })
  }
})

describe("onnxruntime's profile", () => {
  const kernel = (name: string, dur: number, op = "Add", a: ReadonlyArray<number> = [2, 3], y: ReadonlyArray<number> = [2, 3]) =>
    `{"cat" : "Node","pid" :1,"tid" :1,"dur" :${dur},"ts" :1,"ph" : "X","name" :"${name}_kernel_time","args" : {"op_name" : "${op}","input_type_shape" : [{"float":${JSON.stringify(a)}}],"output_type_shape" : [{"float":${JSON.stringify(y)}}]}}`
  const run = (dur: number) => `{"cat" : "Session","pid" :1,"tid" :1,"dur" :${dur},"ts" :1,"ph" : "X","name" :"model_run","args" : {}}`
  it("is summed by part; runs before the first that counts are left out, kernels without a part are named", async () => {
    const file = path.join(scratchFolder("kernels"), "p.json")
    fs.writeFileSync(file, [
      "[", kernel("weights/Gemm_1", 900) + ",", run(1000) + ",",
      kernel("weights/Gemm_1/MatMulAddFusion", 30, "Gemm", [2, 3], [2, 5]) + ",",
      kernel("attention/MatMul_2", 20, "FusedMatMul", [7, 4, 2], [7, 2, 9]) + ",", // its first matrix is transposed
      kernel("Reorder", 5) + ",", run(100), "]"
    ].join("\n"))
    const read = await readKernels(file, 1)
    assert.strictEqual(read.runs, 1)
    assert.closeTo(read.seconds, 100e-6, 1e-12)
    assert.closeTo(read.parts.weights, 30e-6, 1e-12)
    assert.closeTo(read.parts.attention, 20e-6, 1e-12)
    assert.closeTo(read.parts.unknown, 5e-6, 1e-12)
    assert.deepStrictEqual([...read.unknown], ["Reorder_kernel_time"])
    assert.strictEqual(read.operations, 2 * 3 * 10 + 2 * 4 * 7 * 2 * 9)
  })
})

describe("the thread's own work", () => {
  it("belongs to the innermost frame that is known, and nothing inside of onnxruntime counts", () => {
    const frames = [["(root)", ""], ["step", "file:///x/layers/onnx/trainer-program.ts"], ["adamwStep", "file:///x/src/engine/training/adamw.ts"], ["run", "file:///x/onnxruntime-node/dist/backend.js"],
      ["Tensor", "file:///x/onnxruntime-common/dist/tensor.js"], ["(idle)", ""], ["(garbage collector)", ""], ["helper", "file:///x/other.ts"]]
    const children = [[2, 6, 7, 8], [3, 4], [], [5], [], [], [], []]
    const nodes = frames.map(([functionName, url], n) => ({ id: n + 1, children: children[n]!, callFrame: { functionName: functionName!, url: url!, scriptId: "", lineNumber: 0, columnNumber: 0 } }))
    const seconds = secondsByPart({ nodes, startTime: 0, endTime: 0, samples: [2, 3, 4, 5, 6, 7, 8], timeDeltas: [0, 1e6, 2e6, 3e6, 4e6, 5e6, 6e6] })
    assert.deepStrictEqual(Object.fromEntries(seconds), { feeds: 1, optimizer: 2, waiting: 5, garbage: 6, other: 0 })
  })
})

describe("a profile of the embedded policy", () => {
  it("puts every second to a part, and counts bytes and operations of the graphs that ran", async () => {
    const settings = await Effect.runPromise(resolveConfig(undefined, { prompts_per_step: 1, max_new_tokens: 6 }))
    const scratch = scratchFolder("profile")
    const { name, ...model } = modelOf("embedded", undefined, scratch)
    const measurement = await measure({ name, ...model }, { settings, steps: 1 }, scratch)
    const report = reportOf({ name, prompts: 1, drawingsAPrompt: 4, measurement, limits: { threads: 1, bandwidth: 1e10, peak: 1e11 }, stages: undefined })
    assert.deepStrictEqual(Schema.decodeUnknownSync(Schema.fromJsonString(Report))(JSON.stringify(report)), report)
    for (const [own, time] of [[measurement.sampler, report.sampler], [measurement.trainer, report.trainer]] as const) {
      assert.closeTo(time.parts.reduce((n, { share }) => n + share, 0), 1, 1e-9)
      assert.closeTo(time.parts.reduce((n, { seconds }) => n + seconds, 0), own.wall + own.messages, 1e-3 * own.wall)
      for (const { kernels } of own.sessions) assert.deepStrictEqual([...kernels.unknown], [])
      for (const part of ["weights", "attention", "head", "adapters", "norms"]) assert.isTrue(time.parts.some((own) => own.part === part && own.seconds > 0), part)
    }
    const { config: c } = await Effect.runPromise(openDecoder(embedded("policy")))
    const modules = modulesOf(c)
    const numbers = modules.reduce((n, { in: width, out }) => n + width * out + settings.lora_r * (width + out), c.vocab * c.hidden)
    const [decoding] = measurement.sampler.sessions.filter(({ kind }) => kind === "decode")
    assert.strictEqual(decoding!.kernels.runs, 5) // a prompt's last token draws the first
    assert.strictEqual(decoding!.weightBytes, 4 * numbers)
    const products = 4 * 2 * numbers
    const each = decoding!.kernels.operations / 5
    assert.isTrue(each > products && each < 1.1 * products, `${each} operations, ${products} of them in matrices`)
    assert.match(tableOf(report), /^Trainer: .*\n {2}weights +[\d.]+ s +[\d.]+ % +matrices of the layers$/m)
  })
})

describe("shares", () => {
  it("without samples the rest of the clock is other, and a clock short of its sessions is never negative", () => {
    const { parts } = timeOf({ wall: 2, messages: 0, steps: 1, sessions: [], code: new Map() }, "decode")
    assert.deepStrictEqual(parts, [{ part: "other", seconds: 2, share: 1 }])
  })
})

describe("pnpm run bench run", () => {
  it("refuses what it does not know", async () => {
    for (const flags of [["--shape", "7b"], ["--steps", "0"], ["--precision", "int3"], ["--what"]]) assert.strictEqual(await benchRun(flags), 1)
  })
})
