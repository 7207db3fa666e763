/**
 * Where a graph gets its parameters: frozen ones from the checkpoint's files, trainable ones as feeds of each run, LoRA
 * factors added beside the frozen matrix.
 */
import { type DType, Graph, type Shape, type Value } from "../graph/graph.ts"
import { blockFormats, hadamard, type QuantizedPrecision, rotationSize } from "./quantization.ts"
import { wrongShape } from "../graph/shape-error.ts"
import type { TensorEntry } from "./safetensors.ts"
import { type Parameters, sizeOf, type Tensor, zeros } from "./tensor.ts"
import { gaussian, random, hash32 } from "../random.ts"

/** The tensors of a checkpoint folder: each tensor's file, and its entry in that file. */
export type WeightIndex = ReadonlyMap<string, TensorEntry & { readonly file: string }>

/** Matrices in fewer bits: `<name>.values` and `<name>.scales` of each, as quantization.ts lays them out. */
export interface QuantizedWeights {
  readonly precision: QuantizedPrecision
  /** Absolute paths. */
  readonly index: WeightIndex
}

/** Low-rank adaptation of some matrices: y = x Wᵀ + scale (x Aᵀ) Bᵀ (Hu et al. 2021, arXiv:2106.09685). */
export interface LoraConfig {
  readonly r: number
  readonly alpha: number
  /** PEFT's `target_modules`: whole names of modules, or their endings: `q_proj`, `mlp.down_proj`, ... */
  readonly targets: ReadonlyArray<string>
  /** The scale is alpha / √r (rsLoRA, Kalajdzievski 2023, arXiv:2312.03732), not alpha / r. Default false. */
  readonly rankStabilized?: boolean
  /** Modules, by whole name, with another r or alpha: PEFT's `rank_pattern` and `alpha_pattern`. Default none. */
  readonly ranks?: Readonly<Record<string, number>>
  readonly alphas?: Readonly<Record<string, number>>
}

/** An adapter of no matrix: the base as it is. */
export const noAdapter: LoraConfig = { r: 1, alpha: 1, targets: [] }

/** Where factors of any rank are fed at each run, for every matrix: see `factorsOfAny`. */
export const anyAdapter = "any adapter"

/** Rank and scale of a module's factors. */
export interface Factors {
  readonly r: number
  readonly scale: number
}

/** Undefined for a module that has no adapter. */
export const factorsOf = (lora: LoraConfig, module: string): Factors | undefined => {
  if (!lora.targets.some((target) => module === target || module.endsWith(`.${target}`))) return undefined
  const r = lora.ranks?.[module] ?? lora.r
  const alpha = lora.alphas?.[module] ?? lora.alpha
  return { r, scale: alpha / (lora.rankStabilized ? Math.sqrt(r) : r) }
}

const dtypes: Readonly<Record<string, DType>> = { F32: "float32", F16: "float16", BF16: "bfloat16" }

/** A module's PEFT parameter names. */
export const loraNames = (module: string): { readonly A: string; readonly B: string } => ({
  A: `base_model.model.${module}.lora_A.weight`,
  B: `base_model.model.${module}.lora_B.weight`
})

/**
 * An adapter's factors as a graph of any adapter reads them: the scale is in A, and a module that has none gets factors of
 * rank 1, all 0. With scales that are powers of two, products are the same bit for bit.
 */
export const factorsOfAny = (
  modules: ReadonlyArray<{ readonly module: string; readonly out: number; readonly in: number }>,
  lora: LoraConfig,
  parameters: Parameters
): Parameters =>
  new Map(modules.flatMap(({ in: width, module, out }) => {
    const { A, B } = loraNames(module)
    const factors = factorsOf(lora, module)
    if (factors === undefined) return [[A, zeros([1, width])], [B, zeros([out, 1])]]
    const a = parameters.get(A)!
    return [[A, { ...a, data: a.data.map((x) => x * factors.scale) }], [B, parameters.get(B)!]]
  }))

/** The parameter with that name in the checkpoint, float32, in the `shape` that the model family needs. */
export type Get = (name: string, shape: ReadonlyArray<number>) => Value

/**
 * Every parameter that a model asks for, by name and in that order: found by building it once on a graph that is thrown
 * away.
 */
export const parametersOf = (build: (g: Graph, get: Get) => void): Map<string, ReadonlyArray<number>> => {
  const g = new Graph()
  const asked = new Map<string, ReadonlyArray<number>>()
  build(g, (name, shape) => {
    asked.set(name, shape)
    return { name, dtype: "float32", shape, node: undefined }
  })
  return asked
}

export interface ParameterSource {
  /** Throws ShapeError when the file disagrees. */
  readonly get: Get
  /** Rows of the table of that name and shape [n, width], float32: ids of any shape, int64. */
  readonly rows: (name: string, shape: readonly [number, number], ids: Value) => Value
  /** A frozen table of that name and shape [n, width] in parts of at most `size` rows, float32. */
  readonly slices: (name: string, shape: readonly [number, number], size: number) => ReadonlyArray<Value>
  /** x [rows, in] times a matrix [out, in] transposed. */
  readonly times: (name: string, x: Value, out: number) => Value
  /** x [rows, in] times the module's weight [out, in] transposed, plus its bias [out] if it has one, and its adapter. */
  readonly linear: (module: string, x: Value, out: number, bias?: boolean) => Value
}

/** What a graph reads its parameters from. */
export interface Weights {
  readonly index: WeightIndex
  /** `none`: all weights are frozen; `all`: every parameter is a graph input under its own name. */
  readonly trainable: "none" | "all"
  /** Factors of the targeted modules are graph inputs under their PEFT names. */
  readonly lora: LoraConfig | typeof anyAdapter | undefined
  /**
   * The factors, if they stay the same as long as the graph is used: then they are constants of it. In a session with
   * prepared weights they cost a third of what inputs do: 2 ms a token of a 0.6B model instead of 6.
   */
  readonly adapter?: Parameters | undefined
  /** Prefix of these inputs' names, for a second model in one graph. */
  readonly inputPrefix?: string
  /** Frozen matrices are multiplied in this form; no derivative flows through them. */
  readonly quantized?: QuantizedWeights | undefined
}

/** A checkpoint's weights unchanged, for models that are only run. */
export const frozen = (index: WeightIndex): Weights => ({ index, trainable: "none", lora: undefined })

export const parameterSource = (
  g: Graph,
  { adapter, index, inputPrefix = "", lora, quantized, trainable }: Weights
): ParameterSource => {
  const known = new Map<string, Value>()
  const once = (name: string, make: () => Value): Value => {
    const value = known.get(name) ?? make()
    known.set(name, value)
    return value
  }
  const input = (name: string, shape: Shape) => once(name, () => g.input(inputPrefix + name, "float32", shape))
  const stored = (name: string, shape: ReadonlyArray<number>) => {
    const entry = index.get(name)
    if (entry === undefined) return wrongShape(`the checkpoint has no tensor ${name}`)
    if (entry.shape.join() !== shape.join()) {
      return wrongShape(`${name} is [${entry.shape}] in the checkpoint; its config.json asks for [${shape}]`)
    }
    const dtype = dtypes[entry.dtype] ?? wrongShape(`${name} has dtype ${entry.dtype}; F32, F16 and BF16 are read`)
    return { dtype, entry }
  }
  // Trained parameters are inputs with these names, so the checkpoint's tensors get others.
  const weight = (name: string, shape: ReadonlyArray<number>): Value => {
    const { dtype, entry } = stored(name, shape)
    return g.weight(`checkpoint.${name}`, dtype, shape, { _tag: "External", ...entry })
  }
  const widened = (x: Value): Value => (x.dtype === "float32" ? x : g.emit("Cast", [x], { to: 1 }))
  const fixed = (name: string, shape: ReadonlyArray<number>) => once(name, () => widened(weight(name, shape)))
  const get = trainable === "all" ? input : fixed
  const rows: ParameterSource["rows"] = (name, shape, ids) =>
    trainable === "all"
      ? g.emit("Gather", [input(name, shape), ids])
      : widened(g.emit("Gather", [weight(name, shape), ids])) // few rows are widened, not the table
  const slices: ParameterSource["slices"] = (name, shape, size) => {
    const { dtype, entry } = stored(name, shape)
    const [n, width] = shape
    const row = entry.length / n
    return Array.from({ length: Math.ceil(n / size) }, (_, i) => {
      const count = Math.min(size, n - i * size)
      const bytes = { _tag: "External", file: entry.file, offset: entry.offset + i * size * row, length: count * row } as const
      return widened(g.weight(`checkpoint.${name}.${i * size}`, dtype, [count, width], bytes))
    })
  }
  const factor = (name: string, shape: Shape): Value => {
    if (adapter === undefined) return input(name, shape)
    const { data } = adapter.get(name) ?? wrongShape(`the adapter has no ${name}`)
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    return g.weight(name, "float32", shape.map(Number), { _tag: "Inline", data: bytes })
  }
  const product = quantized === undefined ? undefined : quantizedProduct(g, quantized)
  const times: ParameterSource["times"] = (name, x, out) =>
    product?.(name, x, out) ?? g.emit("Gemm", [x, get(name, [out, Number(x.shape[1])])], { transB: 1 })
  const linear = (module: string, x: Value, out: number, bias = false): Value => {
    const width = Number(x.shape[1])
    const base = g.within("weights", () => {
      const plain = times(`${module}.weight`, x, out)
      return bias ? g.add(plain, get(`${module}.bias`, [out])) : plain
    })
    const factors = lora === anyAdapter ? { r: `rank of ${module}`, scale: 1 } : lora && factorsOf(lora, module)
    if (factors === undefined) return base
    const { A, B } = loraNames(module)
    return g.within("adapters", () => {
      const low = g.emit("Gemm", [x, factor(A, [factors.r, width])], { transB: 1, alpha: factors.scale })
      return g.emit("Gemm", [low, factor(B, [out, factors.r]), base], { transB: 1 })
    })
  }
  return { get, rows, slices, times, linear }
}

/** x [rows, in] times a quantized matrix [out, in] transposed; undefined for a matrix that is not quantized. */
const quantizedProduct = (g: Graph, { index, precision }: QuantizedWeights) => {
  const one = g.scalar(1)
  const middle = g.weight("zero_point", "uint8", [], { _tag: "Inline", data: Uint8Array.of(128) })
  /** Each row of x in 8 bits with its own scale, so that rows decoded together do not change one another. */
  const inBytes = (x: Value) => {
    const largest = g.emit("Sqrt", [g.emit("ReduceMax", [g.mul(x, x), g.ints([1])], { axes: [1], keepdims: 1 })])
    const scale = g.add(g.scale(largest, 1 / 127), g.scalar(1e-30))
    return { bytes: g.emit("QuantizeLinear", [g.div(x, scale), one, middle]), scale }
  }
  const known = new Map<Value, ReturnType<typeof inBytes>>()
  const rotated = new Map<Value, Value>()
  /** Rotated like the rows of the matrix (quantization.ts). */
  const turned = (x: Value): Value => {
    const width = Number(x.shape[1])
    const size = rotationSize(precision, width)
    if (size === 1) return x
    const parts = g.reshape(x, [`${x.shape[0]!}*${width / size}`, size])
    const y = rotated.get(x) ?? g.reshape(g.emit("Gemm", [parts, g.constant(hadamard(size), [size, size])]), x.shape)
    rotated.set(x, y)
    return y
  }
  return (name: string, x: Value, out: number): Value | undefined => {
    const part = (kind: "values" | "scales", dtype: DType) => {
      const entry = index.get(`${name}.${kind}`)
      return entry && g.weight(`${name}.${kind}`, dtype, entry.shape, { _tag: "External", ...entry })
    }
    const values = part("values", "uint8")
    const scales = part("scales", "float32")
    if (values === undefined || scales === undefined) return undefined
    if (precision !== "dynamic_int8") {
      const { bits, block } = blockFormats[precision]
      // accuracy_level 4: activations in 8 bits, in blocks of the same size; the levels below are 2 to 3 times slower.
      const attributes = { K: Number(x.shape[1]), N: out, bits, block_size: block, accuracy_level: 4 }
      return g.emit("MatMulNBits", [turned(x), values, scales], attributes)
    }
    const { bytes, scale } = known.get(x) ?? inBytes(turned(x))
    known.set(x, { bytes, scale })
    return g.mul(g.emit("MatMulIntegerToFloat", [bytes, values, one, scales, middle, middle]), scale)
  }
}

/**
 * A fresh adapter, as PEFT makes one: A from Kaiming-uniform with a = √5 (so U(-1/√in, 1/√in)), B zero. So the adapted
 * model starts equal to its base.
 */
export const initialAdapter = (
  modules: ReadonlyArray<{ readonly module: string; readonly out: number; readonly in: number }>,
  lora: LoraConfig,
  seed: number
): Map<string, Tensor> => {
  const adapter = new Map<string, Tensor>()
  modules.filter(({ module }) => factorsOf(lora, module)).forEach(({ in: width, module, out }, i) => {
    const { A, B } = loraNames(module)
    const { r } = factorsOf(lora, module)!
    const draw = random(seed, 0x10a, i)
    const bound = 1 / Math.sqrt(width)
    adapter.set(A, { shape: [r, width], data: Float32Array.from({ length: r * width }, () => (2 * draw() - 1) * bound) })
    adapter.set(B, { shape: [out, r], data: new Float32Array(out * r) })
  })
  return adapter
}

/**
 * Weights for training from scratch: matrices and convolutions normal with standard deviation 1/√fan-in (LeCun et al.
 * 1998, Efficient BackProp), tables of embeddings with 0.02; norm weights 1, biases 0. With 0.02 everywhere, as wide nets
 * begin, a text tower of width 128 had not learned in 1,100 steps what it learns so in 400.
 */
export const initialParameters = (shapes: ReadonlyMap<string, ReadonlyArray<number>>, seed: number): Map<string, Tensor> =>
  new Map([...shapes].map(([name, shape]) => {
    const draw = random(seed, hash32(...[...name].map((c) => c.charCodeAt(0))))
    const std = /(embed_tokens|token_embedding|position_embedding|class_embedding)/.test(name) ? 0.02 : 1 / Math.sqrt(sizeOf(shape.slice(1)))
    const value = /norm[^.]*\.weight$/.test(name)
      ? () => 1
      : name.endsWith(".bias")
      ? () => 0
      : () => gaussian(draw) * std
    return [name, { shape, data: Float32Array.from({ length: sizeOf(shape) }, value) }]
  }))
