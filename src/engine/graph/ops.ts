/**
 * THE op table: every op the engine can emit, one row for each = shape rule + derivative + ONNX name. A new op is one
 * row here and one row in test/engine/ops.test.ts; a missing derivative is a compile error.
 *
 * Reading a row: `infer` gives dtype and shape of each output. Attributes that start with a lower-case name and are not
 * ONNX attributes, such as `to` and `axes`, are notes for the shape rule and are not encoded. `vjp` gets dL/dy for the
 * first output and returns one dL/dx for each input, in the shape of that input, or undefined if none flows.
 */
import type { Attributes, DType, Graph, Shape, Value } from "./graph.ts"
import { wrongShape } from "./shape-error.ts"

export type OpName =
  | "Add" | "Sub" | "Mul" | "Div"
  | "Neg" | "Exp" | "Log" | "Sqrt" | "Cos" | "Sin" | "Sigmoid" | "Tanh" | "Erf" | "Softplus" | "Relu"
  | "Where" | "Cast" | "Identity"
  | "MatMul" | "Gemm"
  | "Reshape" | "Transpose" | "Concat" | "Slice" | "Unsqueeze" | "Squeeze" | "Expand"
  | "ReduceSum" | "ReduceMax" | "Softmax" | "LogSoftmax"
  | "SimplifiedLayerNormalization" | "LayerNormalization" | "RotaryEmbedding"
  | "Gather" | "GatherElements"
  | "MatMulNBits" | "MatMulIntegerToFloat" | "QuantizeLinear"
  | "Shape" | "ConstantOfShape" | "Range" | "ScatterND" | "ScatterElements"
  | "WithDerivative" | "Rearrange"

export interface Typed {
  readonly dtype: DType
  readonly shape: Shape
}

export interface Row {
  readonly domain?: "com.microsoft"
  /**
   * For a row that gives an ONNX op its own derivative: that op, and how many of the inputs it takes, from the first
   * on.
   */
  readonly as?: readonly [op: string, inputs: number]
  /** Attributes that only the shape rule reads. */
  readonly notes?: ReadonlyArray<string>
  readonly infer: (inputs: ReadonlyArray<Value>, attributes: Attributes) => ReadonlyArray<Typed>
  /** `"stop"`: no derivative flows through this op. */
  readonly vjp: Vjp | "stop"
}

export type Vjp = (
  g: Graph,
  dy: Value,
  inputs: ReadonlyArray<Value>,
  outputs: ReadonlyArray<Value>,
  attributes: Attributes
) => ReadonlyArray<Value | undefined>

/** The shape of two operands after broadcasting. */
const broadcast = (a: Shape, b: Shape): Shape => {
  const rank = Math.max(a.length, b.length)
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1
    const y = b[b.length - rank + i] ?? 1
    return x === y || y === 1 ? x : x === 1 ? y : wrongShape(`[${a}] and [${b}] do not broadcast`)
  })
}

/** Sums dy over the axes along which x was repeated, back to the shape of x. */
const unbroadcast = (g: Graph, dy: Value, x: Shape): Value => {
  const missing = dy.shape.length - x.length
  const repeated = x.flatMap((dim, i) => (dim === 1 && dy.shape[i + missing] !== 1 ? [i + missing] : []))
  const leading = Array.from({ length: missing }, (_, i) => i)
  const axes = [...leading, ...repeated]
  if (axes.length === 0) return dy
  const summed = g.sum(dy, axes, true)
  return missing === 0 ? summed : g.squeeze(summed, leading)
}

const like = (x: Value): ReadonlyArray<Typed> => [{ dtype: x.dtype, shape: x.shape }]
const unary = (vjp: (g: Graph, dy: Value, x: Value, y: Value) => Value): Row => ({
  infer: ([x]) => like(x!),
  vjp: (g, dy, [x], [y]) => [vjp(g, dy, x!, y!)]
})
const binary = (vjp: (g: Graph, dy: Value, a: Value, b: Value, y: Value) => readonly [Value, Value]): Row => ({
  infer: ([a, b]) => [{ dtype: a!.dtype, shape: broadcast(a!.shape, b!.shape) }],
  vjp: (g, dy, [a, b], [y]) => {
    const [da, db] = vjp(g, dy, a!, b!, y!)
    return [unbroadcast(g, da, a!.shape), unbroadcast(g, db, b!.shape)]
  }
})
const axis = (attributes: Attributes, x: Value): number => {
  const at = Number(attributes["axis"])
  return at < 0 ? at + x.shape.length : at
}
const axesOf = (attributes: Attributes): ReadonlyArray<number> => attributes["axes"] as ReadonlyArray<number>
const swapLast = (g: Graph, x: Value): Value => {
  const rank = x.shape.length
  return g.transpose(x, Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i)))
}
const square = (g: Graph, x: Value): Value => g.mul(x, x)
const shapeLike = (g: Graph, x: Value): Value => g.emit("Shape", [x])
/** Zeros of the shape of x, or x's own shape value. */
const zerosLike = (g: Graph, x: Value): Value =>
  g.emit("ConstantOfShape", [shapeLike(g, x)], { to: x.shape.join() })
const parse = (shape: string): Shape =>
  shape === "" ? [] : shape.split(",").map((dim) => (/^\d+$/.test(dim) ? Number(dim) : dim))

export const ops: Readonly<Record<OpName, Row>> = {
  Add: binary((_g, dy) => [dy, dy]),
  Sub: binary((g, dy) => [dy, g.neg(dy)]),
  Mul: binary((g, dy, a, b) => [g.mul(dy, b), g.mul(dy, a)]),
  Div: binary((g, dy, _a, b, y) => [g.div(dy, b), g.neg(g.div(g.mul(dy, y), b))]),

  Neg: unary((g, dy) => g.neg(dy)),
  Exp: unary((g, dy, _x, y) => g.mul(dy, y)),
  Log: unary((g, dy, x) => g.div(dy, x)),
  Sqrt: unary((g, dy, _x, y) => g.div(g.scale(dy, 0.5), y)),
  Cos: unary((g, dy, x) => g.neg(g.mul(dy, g.emit("Sin", [x])))),
  Sin: unary((g, dy, x) => g.mul(dy, g.emit("Cos", [x]))),
  Sigmoid: unary((g, dy, _x, y) => g.mul(dy, g.mul(y, g.sub(g.scalar(1), y)))),
  Tanh: unary((g, dy, _x, y) => g.mul(dy, g.sub(g.scalar(1), square(g, y)))),
  Erf: unary((g, dy, x) => g.mul(dy, g.scale(g.emit("Exp", [g.neg(square(g, x))]), 2 / Math.sqrt(Math.PI)))),
  Softplus: unary((g, dy, x) => g.mul(dy, g.emit("Sigmoid", [x]))),
  Relu: unary((g, dy, _x, y) => g.emit("Where", [g.emit("Cast", [y], { to: 9 }), dy, g.scalar(0)])),

  Where: {
    infer: ([c, a, b]) => [{ dtype: a!.dtype, shape: broadcast(c!.shape, broadcast(a!.shape, b!.shape)) }],
    vjp: (g, dy, [c, a, b]) => [
      undefined,
      unbroadcast(g, g.emit("Where", [c!, dy, g.scalar(0)]), a!.shape),
      unbroadcast(g, g.emit("Where", [c!, g.scalar(0), dy]), b!.shape)
    ]
  },
  /** `to` is the ONNX element type; only float32 (1), int64 (7) and bool (9) are used. */
  Cast: {
    infer: ([x], { to }) => [{ dtype: to === 1 ? "float32" : to === 7 ? "int64" : "bool", shape: x!.shape }],
    vjp: "stop"
  },
  Identity: unary((_g, dy) => dy),

  MatMul: {
    infer: ([a, b]) => {
      const inner = a!.shape.at(-1)
      if (inner !== b!.shape.at(-2)) wrongShape(`MatMul [${a!.shape}] x [${b!.shape}]`)
      const batch = broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2))
      return [{ dtype: a!.dtype, shape: [...batch, a!.shape.at(-2)!, b!.shape.at(-1)!] }]
    },
    vjp: (g, dy, [a, b]) => [
      unbroadcast(g, g.matmul(dy, swapLast(g, b!)), a!.shape),
      unbroadcast(g, g.matmul(swapLast(g, a!), dy), b!.shape)
    ]
  },
  /**
   * x [m, k] times W [n, k] transposed (`transB: 1`, a Hugging Face weight) or W [k, n], `transA` likewise; times
   * `alpha`, by default 1; plus c [m, n] if it is given.
   */
  Gemm: {
    infer: ([a, b, c], { transA, transB }) => {
      const [m, k] = transA ? [a!.shape[1]!, a!.shape[0]!] : [a!.shape[0]!, a!.shape[1]!]
      const [l, n] = transB ? [b!.shape[1]!, b!.shape[0]!] : [b!.shape[0]!, b!.shape[1]!]
      if (k !== l) wrongShape(`Gemm [${a!.shape}] x [${b!.shape}] (transA ${transA ?? 0}, transB ${transB ?? 0})`)
      if (c !== undefined && c.shape.join() !== [m, n].join()) wrongShape(`Gemm of [${m}, ${n}] plus [${c.shape}]`)
      return [{ dtype: a!.dtype, shape: [m, n] }]
    },
    vjp: (g, dy, [a, b, c], _y, { alpha = 1, transA, transB }) => {
      const gemm = (x: Value, y: Value, ta: boolean, tb: boolean) =>
        g.emit("Gemm", [x, y], { transA: ta ? 1 : 0, transB: tb ? 1 : 0, alpha })
      return [
        transA ? gemm(b!, dy, Boolean(transB), true) : gemm(dy, b!, false, !transB),
        transB ? gemm(dy, a!, true, Boolean(transA)) : gemm(a!, dy, !transA, false),
        ...(c === undefined ? [] : [dy])
      ]
    }
  },

  Reshape: {
    notes: ["to"],
    infer: ([x], { to }) => [{ dtype: x!.dtype, shape: parse(String(to)) }],
    vjp: (g, dy, [x]) => [g.reshapeLike(dy, x!), undefined]
  },
  Transpose: {
    infer: ([x], { perm }) => [{ dtype: x!.dtype, shape: (perm as ReadonlyArray<number>).map((i) => x!.shape[i]!) }],
    vjp: (g, dy, _x, _y, { perm }) => {
      const p = perm as ReadonlyArray<number>
      return [g.transpose(dy, p.map((_, i) => p.indexOf(i)))]
    }
  },
  /** Every part but one must have a known length along the axis, so that the derivative can be cut apart again. */
  Concat: {
    infer: (xs, attributes) => {
      const at = axis(attributes, xs[0]!)
      const lengths = xs.map((x) => x.shape[at]!)
      const length = lengths.every((n) => typeof n === "number")
        ? lengths.reduce<number>((n, m) => n + (m as number), 0)
        : lengths.join("+")
      return [{ dtype: xs[0]!.dtype, shape: xs[0]!.shape.map((dim, i) => (i === at ? length : dim)) }]
    },
    vjp: (g, dy, xs, _y, attributes) => {
      const at = axis(attributes, xs[0]!)
      let start = 0
      return xs.map((x) => {
        const length = x.shape[at]
        if (typeof length !== "number") return wrongShape(`Concat along the unknown axis ${length} has no derivative`)
        const dx = g.slice(dy, at, start, start + length)
        start += length
        return dx
      })
    }
  },
  /** `start` and `end` as notes if they are known when the graph is built; else `to` names the resulting shape. */
  Slice: {
    notes: ["axis", "start", "end", "to"],
    infer: ([x], attributes) => {
      if (attributes["to"] !== undefined) return [{ dtype: x!.dtype, shape: parse(String(attributes["to"])) }]
      const at = axis(attributes, x!)
      const length = Number(attributes["end"]) - Number(attributes["start"])
      return [{ dtype: x!.dtype, shape: x!.shape.map((dim, i) => (i === at ? length : dim)) }]
    },
    vjp: (g, dy, [x], _y, attributes) => {
      // Zeros before and after: the other elements of the axis were not used.
      const at = axis(attributes, x!)
      const length = x!.shape[at]
      if (typeof length !== "number") return wrongShape(`Slice along the unknown axis ${length} has no derivative`)
      const start = Number(attributes["start"])
      const end = Number(attributes["end"])
      const pad = (from: number, to: number) => (from === to ? [] : [g.scale(g.slice(x!, at, from, to), 0)])
      return [g.concat([...pad(0, start), dy, ...pad(end, length)], at), undefined, undefined, undefined]
    }
  },
  Unsqueeze: {
    notes: ["axes"],
    infer: ([x], attributes) => {
      const shape: Array<Shape[number]> = x!.shape.slice()
      for (const at of [...axesOf(attributes)].sort((a, b) => a - b)) shape.splice(at, 0, 1)
      return [{ dtype: x!.dtype, shape }]
    },
    vjp: (g, dy, _x, _y, attributes) => [g.squeeze(dy, axesOf(attributes)), undefined]
  },
  Squeeze: {
    notes: ["axes"],
    infer: ([x], attributes) => [
      { dtype: x!.dtype, shape: x!.shape.filter((_, i) => !axesOf(attributes).includes(i)) }
    ],
    vjp: (g, dy, _x, _y, attributes) => [g.unsqueeze(dy, axesOf(attributes)), undefined]
  },
  Expand: {
    notes: ["to"],
    infer: ([x], { to }) => [{ dtype: x!.dtype, shape: parse(String(to)) }],
    vjp: (g, dy, [x]) => [unbroadcast(g, dy, x!.shape), undefined]
  },

  ReduceSum: {
    notes: ["axes"],
    infer: ([x], attributes) => {
      const axes = axesOf(attributes).map((at) => (at < 0 ? at + x!.shape.length : at))
      const shape = attributes["keepdims"]
        ? x!.shape.map((dim, i) => (axes.includes(i) ? 1 : dim))
        : x!.shape.filter((_, i) => !axes.includes(i))
      return [{ dtype: x!.dtype, shape }]
    },
    vjp: (g, dy, [x], _y, attributes) => {
      const axes = axesOf(attributes).map((at) => (at < 0 ? at + x!.shape.length : at))
      const kept = attributes["keepdims"] ? dy : g.unsqueeze(dy, axes)
      return [g.emit("Expand", [kept, shapeLike(g, x!)], { to: x!.shape.join() }), undefined]
    }
  },
  ReduceMax: {
    notes: ["axes"],
    infer: ([x], attributes) => [
      { dtype: x!.dtype, shape: x!.shape.map((dim, i) => (axesOf(attributes).includes(i) ? 1 : dim)) }
    ],
    vjp: "stop"
  },
  /** Over the last axis: dx = y * (dy - Σ dy·y). */
  Softmax: unary((g, dy, _x, y) => g.mul(y, g.sub(dy, g.sum(g.mul(dy, y), [y.shape.length - 1], true)))),
  /** Over the last axis: dx = dy - softmax(x) · Σ dy. */
  LogSoftmax: unary((g, dy, _x, y) =>
    g.sub(dy, g.mul(g.emit("Exp", [y]), g.sum(dy, [y.shape.length - 1], true)))
  ),

  /** RMSNorm over the last axis: x / rms(x) * w. Second output: 1 / rms(x), which the derivative reuses. */
  SimplifiedLayerNormalization: {
    infer: ([x]) => [...like(x!), { dtype: "float32", shape: [...x!.shape.slice(0, -1), 1] }],
    vjp: (g, dy, [x, w], [, inverse]) => {
      const last = x!.shape.length - 1
      const normal = g.mul(x!, inverse!)
      const dn = g.mul(dy, w!)
      const mean = g.scale(g.sum(g.mul(dn, normal), [last], true), 1 / Number(x!.shape[last]))
      return [g.mul(inverse!, g.sub(dn, g.mul(normal, mean))), unbroadcast(g, g.mul(dy, normal), w!.shape)]
    }
  },
  /** Over the last axis: (x - mean) / std * w + b. Further outputs: mean and 1 / std. */
  LayerNormalization: {
    infer: ([x]) => {
      const shape = [...x!.shape.slice(0, -1), 1]
      return [...like(x!), { dtype: "float32", shape }, { dtype: "float32", shape }]
    },
    vjp: (g, dy, [x, w, b], [, mean, inverse]) => {
      const last = x!.shape.length - 1
      const average = (v: Value) => g.scale(g.sum(v, [last], true), 1 / Number(x!.shape[last]))
      const normal = g.mul(g.sub(x!, mean!), inverse!)
      const dn = g.mul(dy, w!)
      const dx = g.mul(inverse!, g.sub(g.sub(dn, average(dn)), g.mul(normal, average(g.mul(dn, normal)))))
      return [dx, unbroadcast(g, g.mul(dy, normal), w!.shape), unbroadcast(g, dy, b!.shape)]
    }
  },
  /**
   * Rotates the halves of each head: x [batch, heads, time, head_dim], position_ids [batch, time] int64,
   * cos and sin [positions, head_dim / 2]. A rotation's derivative is the rotation back: sine negated.
   */
  RotaryEmbedding: {
    domain: "com.microsoft",
    infer: ([x]) => like(x!),
    vjp: (g, dy, [_x, positions, cos, sin], _y, attributes) => [
      g.emit("RotaryEmbedding", [dy, positions!, cos!, g.neg(sin!)], attributes),
      undefined,
      undefined,
      undefined
    ]
  },

  /** Rows of a table: data [rows, width], indices of any shape, int64. */
  Gather: {
    infer: ([data, indices]) => [{ dtype: data!.dtype, shape: [...indices!.shape, ...data!.shape.slice(1)] }],
    vjp: (g, dy, [data, indices]) => [
      g.emit("ScatterND", [zerosLike(g, data!), g.unsqueeze(indices!, [indices!.shape.length]), dy], {
        reduction: "add"
      }),
      undefined
    ]
  },
  /** One element of the last axis at each place: x [..., n], indices [..., m] int64. */
  GatherElements: {
    infer: ([x, indices]) => [{ dtype: x!.dtype, shape: indices!.shape }],
    vjp: (g, dy, [x, indices]) => [
      g.emit("ScatterElements", [zerosLike(g, x!), indices!, dy], { axis: x!.shape.length - 1, reduction: "add" }),
      undefined
    ]
  },

  /** x [m, K] times a matrix [N, K] in blocks of few bits, transposed (quantization.ts). */
  MatMulNBits: {
    domain: "com.microsoft",
    infer: ([x], { N }) => [{ dtype: "float32", shape: [x!.shape[0]!, Number(N)] }],
    vjp: "stop"
  },
  /** x [m, k] times w [k, n], both uint8 about a zero point, times their scales. */
  MatMulIntegerToFloat: {
    domain: "com.microsoft",
    infer: ([x, w]) => [{ dtype: "float32", shape: [x!.shape[0]!, w!.shape[1]!] }],
    vjp: "stop"
  },
  QuantizeLinear: { infer: ([x, , zero]) => [{ dtype: zero!.dtype, shape: x!.shape }], vjp: "stop" },

  Shape: { infer: ([x]) => [{ dtype: "int64", shape: [x!.shape.length] }], vjp: "stop" },
  ConstantOfShape: {
    notes: ["to"],
    infer: (_, { to }) => [{ dtype: "float32", shape: parse(String(to)) }],
    vjp: "stop"
  },
  /** From the first scalar up to, not including, the second, by steps of the third; `to` names the length. */
  Range: {
    notes: ["to"],
    infer: ([start], { to }) => [{ dtype: start!.dtype, shape: parse(String(to)) }],
    vjp: "stop"
  },
  ScatterND: { infer: ([x]) => like(x!), vjp: "stop" },
  /** Adds updates to x at the places that indices name along `axis`; only `reduction: "add"` is differentiated. */
  ScatterElements: {
    infer: ([x]) => like(x!),
    vjp: (g, dy, [_x, indices], _y, attributes) => [
      dy,
      undefined,
      g.emit("GatherElements", [dy, indices!], { axis: Number(attributes["axis"]) })
    ]
  },

  /**
   * y [row], made from each row of x [row, width] by a function whose derivative already exists: slope, shaped like x.
   */
  WithDerivative: {
    as: ["Identity", 1],
    infer: ([y, x, slope]) => {
      if (x!.shape.join() !== slope!.shape.join() || x!.shape[0] !== y!.shape[0]) {
        wrongShape(`the slope of [${y!.shape}] over [${x!.shape}] cannot be [${slope!.shape}]`)
      }
      return like(y!)
    },
    vjp: (g, dy, [_y, _x, slope]) => [undefined, g.mul(g.unsqueeze(dy, [1]), slope!), undefined]
  },
  /**
   * Rows of x [n, width] at other places. `from` [m] int64 names the row that each place shows; `back` [n] names the
   * place where each row is shown. Places that `back` does not name are padding: nothing may depend on them. Rows that
   * no place shows are 0 in `shown` [n, 1] float32; without it all are shown.
   */
  Rearrange: {
    as: ["Gather", 2],
    infer: ([x, from]) => [{ dtype: x!.dtype, shape: [from!.shape[0]!, ...x!.shape.slice(1)] }],
    vjp: (g, dy, [_x, from, back, shown]) => {
      const dx = g.emit("Rearrange", [dy, back!, from!])
      return [shown === undefined ? dx : g.mul(dx, shown), undefined, undefined, undefined]
    }
  }
}
