/**
 * A graph under construction: values, the nodes that make them, and what a session will be fed and asked for.
 *
 * Shapes may hold names for axes whose length is only known when the graph runs ("batch", "time"). Two axes agree if
 * their lengths or names are equal; onnxruntime relies on it, so one name must be one length in a run. A wrong shape is
 * a bug in the caller, so it throws `ShapeError` while the graph is built, never when it runs.
 */
import { type OpName, ops } from "./ops.ts"
import { wrongShape } from "./shape-error.ts"

export type DType = "float32" | "float16" | "bfloat16" | "int64" | "int32" | "bool" | "uint8" | "int8"
/** A length, or the name of an axis whose length is known at run time. */
export type Dim = number | string
export type Shape = ReadonlyArray<Dim>
/** The axis that two become when they are joined. */
export const joined = (a: Dim, b: number): Dim => (typeof a === "number" ? a * b : `${a}*${b}`)
/** ONNX attributes: integers unless the name says otherwise (`floatAttributes` in onnx.ts). */
export type Attributes = Readonly<Record<string, number | string | ReadonlyArray<number>>>

export interface Value {
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
  /** The node it comes from; undefined for inputs, constants and weights. */
  readonly node: Node | undefined
}

/**
 * What a node of a language model works for, so that a profile can say what its seconds go to: looking up embeddings; the frozen or
 * trained matrices of the layers; low-rank factors beside them; queries, keys, values and what is made of them; norms, activations
 * and sums between; scores of the next token over the vocabulary; the loss. A derivative works for what it is the derivative of.
 */
export type Part = "embedding" | "weights" | "adapters" | "attention" | "norms" | "head" | "objective"

export interface Node {
  readonly op: OpName
  /** Undefined where nobody asks. The encoded node's name begins with it. */
  readonly part: Part | undefined
  readonly inputs: ReadonlyArray<Value | undefined>
  readonly attributes: Attributes
  readonly outputs: ReadonlyArray<Value>
}

/** Where an initializer's bytes are: in the model, or in a file beside it (for example a .safetensors file). */
export type Bytes =
  | { readonly _tag: "Inline"; readonly data: Uint8Array }
  | { readonly _tag: "External"; readonly file: string; readonly offset: number; readonly length: number }

export interface Initializer {
  readonly value: Value
  readonly bytes: Bytes
}

const same = (known: Value, dtype: DType, shape: Shape): Value =>
  known.dtype === dtype && known.shape.join() === shape.join()
    ? known
    : wrongShape(`${known.name} is ${known.dtype} [${known.shape}] and ${dtype} [${shape}]`)

export class Graph {
  readonly nodes: Array<Node> = []
  readonly inputs: Array<Value> = []
  readonly initializers: Array<Initializer> = []
  readonly outputs: Array<{ readonly name: string; readonly value: Value }> = []
  readonly #constants = new Map<string, Value>()
  readonly #weights = new Map<string, Value>()
  readonly #shapes = new Map<string, Value>()
  readonly #fixed = new Set<Value>()
  #count = 0
  #part: Part | undefined

  /** A tensor fed at each run; a second call with the same name returns the same one. */
  input(name: string, dtype: DType, shape: Shape): Value {
    const known = this.inputs.find((x) => x.name === name)
    if (known !== undefined) return same(known, dtype, shape)
    const value: Value = { name, dtype, shape, node: undefined }
    this.inputs.push(value)
    return value
  }

  /** Names a value that a run can be asked for. */
  output(name: string, value: Value): void {
    this.outputs.push({ name, value })
  }

  /** A frozen tensor of the checkpoint; a second call with the same name in this graph returns the same one. */
  weight(name: string, dtype: DType, shape: ReadonlyArray<number>, bytes: Bytes): Value {
    const known = this.#weights.get(name)
    if (known !== undefined) return same(known, dtype, shape)
    const value: Value = { name, dtype, shape, node: undefined }
    this.initializers.push({ value, bytes })
    this.#weights.set(name, value)
    this.#fixed.add(value)
    return value
  }

  /** All that is emitted meanwhile works for this part; a part inside of another counts. */
  within<A>(part: Part | undefined, emit: () => A): A {
    const before = this.#part
    this.#part = part
    try {
      return emit()
    } finally {
      this.#part = before
    }
  }

  /** Whether it is a tensor of the checkpoint, a constant, or made only of these: the same in every run. */
  isConstant(value: Value): boolean {
    return this.#fixed.has(value)
  }

  /** A float32 constant; equal ones are shared. */
  constant(data: ReadonlyArray<number>, shape: ReadonlyArray<number> = [data.length]): Value {
    return this.#constant("float32", new Uint8Array(new Float32Array(data).buffer), shape, `f:${data}:${shape}`)
  }

  /** A float32 constant without axes. */
  scalar(x: number): Value {
    return this.constant([x], [])
  }

  /** An int64 constant: axes, shapes, indices. */
  ints(data: ReadonlyArray<number>, shape: ReadonlyArray<number> = [data.length]): Value {
    const bytes = new Uint8Array(BigInt64Array.from(data.map(BigInt)).buffer)
    return this.#constant("int64", bytes, shape, `i:${data}:${shape}`)
  }

  #constant(dtype: DType, data: Uint8Array, shape: ReadonlyArray<number>, key: string): Value {
    const known = this.#constants.get(key)
    if (known) return known
    const value = this.weight(`const_${this.#constants.size}`, dtype, shape, { _tag: "Inline", data })
    this.#constants.set(key, value)
    return value
  }

  /** Adds one node and returns all its outputs. */
  emitAll(op: OpName, inputs: ReadonlyArray<Value | undefined>, attributes: Attributes = {}): ReadonlyArray<Value> {
    const made = ops[op].infer(inputs.filter((x) => x !== undefined), attributes)
    const node: { -readonly [K in keyof Node]: Node[K] } = { op, part: this.#part, inputs, attributes, outputs: [] }
    node.outputs = made.map(({ dtype, shape }) => ({ name: `${op}_${this.#count++}`, dtype, shape, node }))
    this.nodes.push(node)
    if (inputs.every((x) => x === undefined || this.#fixed.has(x))) for (const y of node.outputs) this.#fixed.add(y)
    return node.outputs
  }

  /** Adds one node and returns its first output. */
  emit(op: OpName, inputs: ReadonlyArray<Value | undefined>, attributes: Attributes = {}): Value {
    return this.emitAll(op, inputs, attributes)[0]!
  }

  // The ops in daily use, by short names: `g.mul(x, g.scalar(2))`.
  add = (a: Value, b: Value): Value => this.emit("Add", [a, b])
  sub = (a: Value, b: Value): Value => this.emit("Sub", [a, b])
  mul = (a: Value, b: Value): Value => this.emit("Mul", [a, b])
  div = (a: Value, b: Value): Value => this.emit("Div", [a, b])
  neg = (x: Value): Value => this.emit("Neg", [x])
  scale = (x: Value, factor: number): Value => (factor === 1 ? x : this.mul(x, this.scalar(factor)))
  matmul = (a: Value, b: Value): Value => this.emit("MatMul", [a, b])
  transpose = (x: Value, perm: ReadonlyArray<number>): Value => this.emit("Transpose", [x], { perm })
  sum = (x: Value, axes: ReadonlyArray<number>, keepdims = false): Value =>
    this.emit("ReduceSum", [x, this.ints(axes)], { axes, keepdims: keepdims ? 1 : 0 })
  concat = (xs: ReadonlyArray<Value>, axis: number): Value =>
    xs.length === 1 ? xs[0]! : this.emit("Concat", xs, { axis })
  /** Elements `start` (inclusive) to `end` (exclusive) of one axis. */
  slice = (x: Value, axis: number, start: number, end: number): Value =>
    this.emit("Slice", [x, this.ints([start]), this.ints([end]), this.ints([axis])], { axis, start, end })
  unsqueeze = (x: Value, axes: ReadonlyArray<number>): Value => this.emit("Unsqueeze", [x, this.ints(axes)], { axes })
  squeeze = (x: Value, axes: ReadonlyArray<number>): Value => this.emit("Squeeze", [x, this.ints(axes)], { axes })
  /**
   * The same elements under another shape. `to` names the result's axes; at most one of them may be a name that x does
   * not have at the same position (its length follows from the others).
   */
  reshape(x: Value, to: Shape): Value {
    let inferred = false
    const target = to.map((dim, i) => {
      if (typeof dim === "number") return dim
      if (x.shape[i] === dim && !inferred) return 0
      if (inferred) return wrongShape(`cannot reshape [${x.shape}] to [${to}]: two unknown axes`)
      inferred = true
      return -1
    })
    return this.emit("Reshape", [x, this.ints(target)], { to: to.join() })
  }

  /** The same elements under axes whose names inputs of the graph have; at most one of the names may be unknown there. */
  reshapeTo(x: Value, to: Shape): Value {
    return this.emit("Reshape", [x, this.#target(to)], { to: to.join() })
  }

  /**
   * The elements of y under the shape of x. Run-time lengths are read from the graph's inputs that have axes of these
   * names, so x itself need not be kept for this.
   */
  reshapeLike(y: Value, x: Value): Value {
    const to = x.shape.join()
    const unknown = x.shape.filter((dim) => typeof dim === "string" && this.#axis(dim) === undefined)
    return this.emit("Reshape", [y, unknown.length > 1 ? this.emit("Shape", [x]) : this.#target(x.shape)], { to })
  }

  /** x, but only once `earlier` is computed. Both begin with the same axis, and x has no other unknown one. */
  after(x: Value, earlier: Value): Value {
    if (x.shape[0] !== earlier.shape[0]) return wrongShape(`[${x.shape}] cannot wait for [${earlier.shape}]`)
    const first = this.slice(this.emit("Shape", [earlier]), 0, 0, 1)
    const target = this.concat([first, this.ints(x.shape.slice(1).map(Number))], 0)
    return this.emit("Reshape", [x, target], { to: x.shape.join() })
  }

  /** [rank] int64; -1 for an axis that no input has. */
  #target(shape: Shape): Value {
    const known = this.#shapes.get(shape.join())
    if (known !== undefined) return known
    const target = this.concat(
      shape.map((dim) => (typeof dim === "number" ? this.ints([dim]) : this.#axis(dim) ?? this.ints([-1]))),
      0
    )
    this.#shapes.set(shape.join(), target)
    return target
  }

  /** The length of a named axis, [1] int64, from an input that has it. */
  #axis(name: string): Value | undefined {
    const known = this.#shapes.get(name)
    if (known !== undefined) return known
    const input = this.inputs.find(({ shape }) => shape.includes(name))
    if (input === undefined) return undefined
    const at = input.shape.indexOf(name)
    const length = this.slice(this.emit("Shape", [input]), 0, at, at + 1)
    this.#shapes.set(name, length)
    return length
  }
}
