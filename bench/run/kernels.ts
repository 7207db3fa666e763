/** onnxruntime's own profile of one session: seconds of its kernels, by the part of the model that they work for. */
import * as fs from "node:fs"
import { createInterface } from "node:readline"
import { Schema } from "effect"
import type { Part } from "../../src/engine/graph/graph.ts"

const named = ["weights", "attention", "head", "adapters", "norms", "embedding", "objective"] as const satisfies ReadonlyArray<Part>

/** In the order of a table. */
export const kernelParts = [...named, "unknown"] as const
export type KernelPart = (typeof kernelParts)[number]

export interface Kernels {
  /** Seconds of all runs, as onnxruntime times them. A kernel's threads count once: it is over when the last of them is. */
  readonly seconds: number
  readonly runs: number
  readonly parts: Readonly<Record<KernelPart, number>>
  /** Names of kernels that belong to no part: those of other models' graphs, and what onnxruntime puts in under names of its own. */
  readonly unknown: ReadonlySet<string>
  /** Floating-point operations of the matrix products, computed again or masked ones included. */
  readonly operations: number
}

const shapes = Schema.Array(Schema.Record(Schema.String, Schema.Array(Schema.Int)))
const Event = Schema.Struct({
  cat: Schema.String,
  name: Schema.String,
  /** Microseconds, rounded down. */
  dur: Schema.Int,
  args: Schema.Struct({
    op_name: Schema.optionalKey(Schema.String),
    input_type_shape: Schema.optionalKey(shapes),
    output_type_shape: Schema.optionalKey(shapes)
  })
})
type Event = typeof Event.Type
const decode = Schema.decodeUnknownSync(Event)

const products = new Set(["Gemm", "MatMul", "FusedMatMul", "FusedGemm", "MatMulNBits", "MatMulIntegerToFloat"])

/** Of a product [..., m, k] x [..., k, n], or of one whose first matrix is transposed: 2 k for each element of the result. */
const operationsOf = ({ args }: Event): number => {
  if (!products.has(args.op_name ?? "")) return 0
  const [first, result] = [args.input_type_shape, args.output_type_shape].map((all) => Object.values(all?.[0] ?? {})[0] ?? [])
  const k = first!.at(-2) === result!.at(-2) ? first!.at(-1) : first!.at(-2)
  return 2 * (k ?? 0) * result!.reduce((n, m) => n * m, 1)
}

/** Of a kernel, by its node's name. */
const partOf = (name: string): KernelPart => named.find((part) => name.startsWith(`${part}/`)) ?? "unknown"

/** Reads a profile line by line: it has an event for each kernel of each run. @param skipped runs at its beginning that do not count */
export const readKernels = async (file: string, skipped: number): Promise<Kernels> => {
  const parts = Object.fromEntries(kernelParts.map((part) => [part, 0])) as Record<KernelPart, number>
  const unknown = new Set<string>()
  let [runs, seconds, operations] = [0, 0, 0]
  for await (const line of createInterface({ input: fs.createReadStream(file), crlfDelay: Infinity })) {
    if (!line.startsWith("{")) continue
    const event = decode(JSON.parse(line.replace(/,$/, "")))
    // A run's own event comes after those of its kernels.
    if (event.name === "model_run") {
      runs++
      if (runs > skipped) seconds += event.dur / 1e6
    } else if (event.cat === "Node" && runs >= skipped) {
      const part = partOf(event.name)
      parts[part] += event.dur / 1e6
      if (part === "unknown") unknown.add(event.name)
      operations += operationsOf(event)
    }
  }
  return { seconds, runs: Math.max(0, runs - skipped), parts, unknown, operations }
}
