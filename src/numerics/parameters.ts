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

/** Low-rank adaptation of some matrices: y = x Wᵀ + scale (x Aᵀ) Bᵀ (Hu et al. 2021, arXiv:2106.09685). */
export interface LoraConfig {
  readonly r: number
  readonly alpha: number
  /** As PEFT's `target_modules`: whole names of modules, or what these end in: `q_proj`, `mlp.down_proj`, ... */
  readonly targets: ReadonlyArray<string>
  /** The scale is alpha / √r (rsLoRA, Kalajdzievski 2023, arXiv:2312.03732), not alpha / r. Default false. */
  readonly rankStabilized?: boolean
  /** Modules, by whole name, whose r or alpha is another: PEFT's `rank_pattern` and `alpha_pattern`. Default none. */
  readonly ranks?: Readonly<Record<string, number>>
  readonly alphas?: Readonly<Record<string, number>>
}

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
  /** x [rows, in] times the module's weight [out, in] transposed, plus its bias [out] where it has one and its adapter. */
  readonly linear: (module: string, x: Value, out: number, bias?: boolean) => Value
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
  const frozen = (name: string, shape: ReadonlyArray<number>) =>
    once(name, () => {
      const entry = index.get(name)
      if (entry === undefined) return wrongShape(`the checkpoint has no tensor ${name}`)
      if (entry.shape.join() !== shape.join()) {
        return wrongShape(`${name} is [${entry.shape}] in the checkpoint; its config.json asks for [${shape}]`)
      }
      const dtype = dtypes[entry.dtype] ?? wrongShape(`${name} has dtype ${entry.dtype}; F32, F16 and BF16 are read`)
      const weight = g.weight(name, dtype, shape, { _tag: "External", ...entry })
      return dtype === "float32" ? weight : g.emit("Cast", [weight], { to: 1 })
    })
  const get = trainable === "all" ? input : frozen
  const linear = (module: string, x: Value, out: number, bias = false): Value => {
    const width = Number(x.shape[1])
    const product = g.emit("Gemm", [x, get(`${module}.weight`, [out, width])], { transB: 1 })
    const base = bias ? g.add(product, get(`${module}.bias`, [out])) : product
    const factors = lora && factorsOf(lora, module)
    if (factors === undefined) return base
    const { A, B } = loraNames(module)
    const low = g.scale(g.emit("Gemm", [x, input(A, [factors.r, width])], { transB: 1 }), factors.scale)
    return g.add(base, g.emit("Gemm", [low, input(B, [out, factors.r])], { transB: 1 }))
  }
  return { get, linear }
}

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
