/**
 * The safetensors format: u64 little-endian header length, JSON header, raw tensors. Parsing reads only the header; the
 * tensors stay in the file, and onnxruntime gets their offsets.
 */
import { sizeOf, type Tensor } from "./tensor.ts"

export type FileDType = "F32" | "F16" | "BF16"
export const isFloat = (dtype: string): dtype is FileDType => dtype === "F32" || dtype === "F16" || dtype === "BF16"

/** Bits of an element for every dtype of the format; only floats of 16 and 32 bits are computed with. */
const bitsOf: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries({
    64: "C64 F64 I64 U64",
    32: "F32 I32 U32",
    16: "F16 BF16 I16 U16",
    8: "F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I8 U8 BOOL",
    6: "F6_E2M3 F6_E3M2",
    4: "F4"
  }).flatMap(([bits, names]) => names.split(" ").map((name) => [name, Number(bits)]))
)
/** A longer header is refused, as by the format's own reader: no model has that many tensors. */
const longestHeader = 100e6

export interface TensorEntry {
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
}

/** The file is not what it says it is; the message names what is wrong, not which file. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError"
}
const broken = (message: string): never => {
  throw new SafetensorsError(message)
}

/** Length in bytes of the JSON header, from the first 8 bytes of a file. */
export const headerLength = (first8: Uint8Array, fileLength: number): number => {
  if (fileLength < 8 || first8.length < 8) return broken("it is shorter than a header")
  const length = Number(new DataView(first8.buffer, first8.byteOffset, 8).getBigUint64(0, true))
  if (length > fileLength - 8 || length < 2) return broken(`its header claims ${length} bytes of ${fileLength}`)
  return length > longestHeader ? broken(`its header claims ${length} bytes, over the format's ${longestHeader}`) : length
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isSizes = (value: unknown): value is ReadonlyArray<number> => Array.isArray(value) && value.every(isSize)
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * The tensors of a file, checked against its size, as the format's own reader does: lengths that agree with dtype and
 * shape, one tensor after the other without gaps, from the header to the end of the file.
 */
export const parseHeader = (json: Uint8Array, fileLength: number): ReadonlyMap<string, TensorEntry> => {
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json))
  } catch {
    return broken("its header is not JSON")
  }
  if (!isRecord(header)) return broken("its header is not an object")
  const start = 8 + json.length
  const entries = new Map<string, TensorEntry>()
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue
    const { data_offsets: offsets, dtype, shape } = isRecord(value) ? value : {}
    if (typeof dtype !== "string" || !isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
      return broken(`tensor ${name} has no dtype, shape or data_offsets`)
    }
    const [from, to] = offsets as readonly [number, number]
    const bits = bitsOf[dtype] ?? broken(`tensor ${name} has the unknown dtype ${dtype}`)
    if (to - from !== sizeOf(shape) * bits / 8) broken(`tensor ${name} has ${to - from} bytes, not what [${shape}] needs`)
    if (start + to > fileLength) broken(`tensor ${name} ends after the file does`)
    entries.set(name, { dtype, shape, offset: start + from, length: to - from })
  }
  const inOrder = [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length)
  let end = start
  let last = "the header"
  for (const [name, { length, offset }] of inOrder) {
    if (offset < end) broken(`tensors ${last} and ${name} overlap`)
    if (offset > end) broken(`${offset - end} bytes between ${last} and tensor ${name} belong to no tensor`)
    end = offset + length
    last = name
  }
  if (end < fileLength) broken(`its last ${fileLength - end} bytes belong to no tensor`)
  return entries
}

const halfOf = new Float32Array(1)
const halfBits = new Uint32Array(halfOf.buffer)

/** float32 to bfloat16, rounded to nearest even. */
export const toBfloat16 = (x: number): number => {
  halfOf[0] = x
  const bits = halfBits[0]!
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** float32 to IEEE half, rounded to nearest even; out of range becomes infinity. */
export const toFloat16 = (x: number): number => {
  halfOf[0] = x
  const bits = halfBits[0]!
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 112
  const fraction = bits & 0x7fffff
  if (((bits >>> 23) & 0xff) === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200)
  if (exponent >= 31) return sign | 0x7c00
  if (exponent <= 0) {
    if (exponent < -10) return sign
    const full = fraction | 0x800000
    const shift = 14 - exponent
    const half = full >>> shift
    const rest = full & ((1 << shift) - 1)
    const middle = 1 << (shift - 1)
    return sign | (rest > middle || (rest === middle && (half & 1)) ? half + 1 : half)
  }
  const half = (exponent << 10) | (fraction >>> 13)
  const rest = fraction & 0x1fff
  return sign | (rest > 0x1000 || (rest === 0x1000 && (half & 1)) ? half + 1 : half)
}

const fromFloat16 = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 31
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** The raw bytes of one tensor as float32: a view where the dtype allows, else a copy. */
export const toFloat32 = (bytes: Uint8Array, dtype: string): Float32Array => {
  if (dtype === "F32") return new Float32Array(bytes.slice().buffer)
  const words = new Uint16Array(bytes.slice().buffer)
  if (dtype === "F16") return Float32Array.from(words, fromFloat16)
  if (dtype !== "BF16") return broken(`dtype ${dtype} cannot be read as float32`)
  const out = new Float32Array(words.length)
  const bits = new Uint32Array(out.buffer)
  for (let i = 0; i < words.length; i++) bits[i] = words[i]! << 16
  return out
}

/** float32 values in the form of a file, little-endian. */
export const encodeValues = (data: Float32Array, dtype: FileDType): Uint8Array => {
  if (dtype === "F32") return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const round = dtype === "F16" ? toFloat16 : toBfloat16
  const words = new Uint16Array(data.length)
  for (let i = 0; i < data.length; i++) words[i] = round(data[i]!)
  return new Uint8Array(words.buffer)
}

export interface Layout {
  readonly name: string
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
}

/** Bytes of one tensor in a file. */
export const byteLength = ({ dtype, shape }: Omit<Layout, "name">): number => sizeOf(shape) * bitsOf[dtype]! / 8

/** The part before the tensors of a file; the tensors follow one after the other in this order. */
export const encodeHeader = (
  layout: ReadonlyArray<Layout>,
  metadata: Readonly<Record<string, string>> = { format: "pt" }
): Uint8Array => {
  const header: Record<string, unknown> = { __metadata__: metadata }
  let at = 0
  for (const { dtype, name, shape } of layout) {
    const end = at + byteLength({ dtype, shape })
    header[name] = { dtype, shape, data_offsets: [at, end] }
    at = end
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const padded = Math.ceil(json.length / 8) * 8
  const bytes = new Uint8Array(8 + padded).fill(0x20, 8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true)
  bytes.set(json, 8)
  return bytes
}

/** A whole file. Tensors are laid out by name, so equal parameters give equal bytes. */
export const encodeSafetensors = (
  tensors: ReadonlyMap<string, Tensor>,
  dtype: FileDType = "F32",
  metadata?: Readonly<Record<string, string>>
): Uint8Array => {
  const layout = [...tensors.keys()].sort().map((name): Layout => ({ name, dtype, shape: tensors.get(name)!.shape }))
  const header = encodeHeader(layout, metadata)
  const file = new Uint8Array(layout.reduce((n, tensor) => n + byteLength(tensor), header.length))
  file.set(header)
  let end = header.length
  for (const { name } of layout) {
    const bytes = encodeValues(tensors.get(name)!.data, dtype)
    file.set(bytes, end)
    end += bytes.length
  }
  return file
}
