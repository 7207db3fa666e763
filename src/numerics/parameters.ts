/**
 * Where a graph gets its parameters: frozen ones from the checkpoint's files, trainable ones fed at each run, LoRA
 * factors added beside the frozen matrix.
 */
import { type DType, Graph, type Value } from "./graph.ts"
import { wrongShape } from "./shape-error.ts"
import type { TensorEntry } from "./safetensors.ts"
import { sizeOf, type Tensor } from "./tensor.ts"
import { gaussian, random, hash32 } from "./random.ts"

/** The tensors of a checkpoint folder: the file of each, beside its entry in that file. */
export type WeightIndex = ReadonlyMap<string, TensorEntry & { readonly file: string }>

/** Low-rank adaptation of some matrices: y = x Wᵀ + (alpha / r) (x Aᵀ) Bᵀ (Hu et al. 2021, arXiv:2106.09685). */
export interface LoraConfig {
  readonly r: number
  readonly alpha: number
  /** Last part of the module names, as PEFT's `target_modules`: `q_proj`, `down_proj`, ... */
  readonly targets: ReadonlyArray<string>
}

const dtypes: Readonly<Record<string, DType>> = { F32: "float32", F16: "float16", BF16: "bfloat16" }

/** A module's PEFT parameter names. */
export const loraNames = (module: string): { readonly A: string; readonly B: string } => ({
  A: `base_model.model.${module}.lora_A.weight`,
  B: `base_model.model.${module}.lora_B.weight`
})

/** The parameter of that checkpoint name, float32, `shape` as the model family demands. */
export type Get = (name: string, shape: ReadonlyArray<number>) => Value

/** Every parameter that a model asks for, by name, in the order it does: built once on a graph that is thrown away. */
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
  /** x [rows, in] times the module's weight [out, in] transposed, its adapter included. */
  readonly linear: (module: string, x: Value, out: number) => Value
}

/**
 * @param trainable `"none"`: all weights frozen; `"all"`: every parameter is a graph input under its own name
 * @param lora when given, factors of the targeted modules are graph inputs under their PEFT names
 */
export const parameterSource = (
  g: Graph,
  index: WeightIndex,
  trainable: "none" | "all",
  lora: LoraConfig | undefined
): ParameterSource => {
  const known = new Map<string, Value>()
  const once = (name: string, make: () => Value): Value => {
    const value = known.get(name) ?? make()
    known.set(name, value)
    return value
  }
  const input = (name: string, shape: ReadonlyArray<number>) => once(name, () => g.input(name, "float32", shape))
  const stored = (name: string, shape: ReadonlyArray<number>) => {
    const entry = index.get(name)
    if (entry === undefined) return wrongShape(`the checkpoint has no tensor ${name}`)
    if (entry.shape.join() !== shape.join()) {
      return wrongShape(`${name} is [${entry.shape}] in the checkpoint; its config.json asks for [${shape}]`)
    }
    const dtype = dtypes[entry.dtype] ?? wrongShape(`${name} has dtype ${entry.dtype}; F32, F16 and BF16 are read`)
    return { dtype, entry }
  }
  // Trained parameters are inputs of these names, so what the checkpoint holds has another.
  const weight = (name: string, shape: ReadonlyArray<number>): Value => {
    const { dtype, entry } = stored(name, shape)
    return g.weight(`checkpoint.${name}`, dtype, shape, { _tag: "External", ...entry })
  }
  const widened = (x: Value): Value => (x.dtype === "float32" ? x : g.emit("Cast", [x], { to: 1 }))
  const frozen = (name: string, shape: ReadonlyArray<number>) => once(name, () => widened(weight(name, shape)))
  const get = trainable === "all" ? input : frozen
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
  const linear = (module: string, x: Value, out: number): Value => {
    const width = Number(x.shape[1])
    const base = g.emit("Gemm", [x, get(`${module}.weight`, [out, width])], { transB: 1 })
    if (lora === undefined || !isTarget(lora, module)) return base
    const { A, B } = loraNames(module)
    const low = g.scale(g.emit("Gemm", [x, input(A, [lora.r, width])], { transB: 1 }), lora.alpha / lora.r)
    return g.add(base, g.emit("Gemm", [low, input(B, [out, lora.r])], { transB: 1 }))
  }
  return { get, rows, slices, linear }
}

export const isTarget = (lora: LoraConfig, module: string): boolean =>
  lora.targets.includes(module.slice(module.lastIndexOf(".") + 1))

/**
 * A fresh adapter, as PEFT makes one: A from Kaiming-uniform with a = √5 (so U(-1/√in, 1/√in)), B zero; the adapted
 * model therefore starts equal to its base.
 */
export const initialAdapter = (
  modules: ReadonlyArray<{ readonly module: string; readonly out: number; readonly in: number }>,
  lora: LoraConfig,
  seed: number
): Map<string, Tensor> => {
  const adapter = new Map<string, Tensor>()
  modules.filter(({ module }) => isTarget(lora, module)).forEach(({ in: width, module, out }, i) => {
    const { A, B } = loraNames(module)
    const draw = random(seed, 0x10a, i)
    const bound = 1 / Math.sqrt(width)
    adapter.set(A, {
      shape: [lora.r, width],
      data: Float32Array.from({ length: lora.r * width }, () => (2 * draw() - 1) * bound)
    })
    adapter.set(B, { shape: [out, lora.r], data: new Float32Array(out * lora.r) })
  })
  return adapter
}

/** Weights to start training from nothing: normal with `std`, norm weights 1, biases 0. */
export const initialParameters = (
  shapes: ReadonlyMap<string, ReadonlyArray<number>>,
  seed: number,
  std = 0.02
): Map<string, Tensor> =>
  new Map([...shapes].map(([name, shape]) => {
    const draw = random(seed, hash32(...[...name].map((c) => c.charCodeAt(0))))
    const value = /norm[^.]*\.weight$/.test(name)
      ? () => 1
      : name.endsWith(".bias")
      ? () => 0
      : () => gaussian(draw) * std
    return [name, { shape, data: Float32Array.from({ length: sizeOf(shape) }, value) }]
  }))
