/**
 * The GGUF format, version 3, little-endian (ggml's docs/gguf.md): magic, counts, metadata, the tensors' names and
 * places, then their bytes, each beginning at a multiple of 32.
 */
import { sizeOf } from "../engine/weights/tensor.ts"
import { type GgmlType, ggmlTypes } from "./ggml-types.ts"

const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(n)
  return bytes
}
const u64 = (n: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(n))
  return bytes
}
const text = (s: string): Buffer => {
  const bytes = Buffer.from(s)
  return Buffer.concat([u64(bytes.length), bytes])
}

/** One metadata pair, encoded; the numbers are those of GGUF's value types. */
export type Pair = Uint8Array
export const uint = (key: string, n: number): Pair => Buffer.concat([text(key), u32(4), u32(n)])
export const float = (key: string, x: number): Pair => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(x)
  return Buffer.concat([text(key), u32(6), bytes])
}
export const bool = (key: string, b: boolean): Pair => Buffer.concat([text(key), u32(7), Buffer.from([b ? 1 : 0])])
export const string = (key: string, s: string): Pair => Buffer.concat([text(key), u32(8), text(s)])
export const strings = (key: string, list: ReadonlyArray<string>): Pair =>
  Buffer.concat([text(key), u32(9), u32(8), u64(list.length), ...list.map(text)])
export const floats = (key: string, list: ReadonlyArray<number>): Pair =>
  Buffer.concat([text(key), u32(9), u32(6), u64(list.length), Buffer.from(new Float32Array(list).buffer)])
export const ints = (key: string, list: ReadonlyArray<number>): Pair =>
  Buffer.concat([text(key), u32(9), u32(5), u64(list.length), Buffer.from(new Int32Array(list).buffer)])

export interface GgufTensor {
  readonly name: string
  /** The slowest axis first, as in a checkpoint; the file has it the other way round. */
  readonly shape: ReadonlyArray<number>
  readonly type: GgmlType
}

/** Where bytes may begin. */
export const aligned = (n: number): number => Math.ceil(n / 32) * 32

export const tensorBytes = ({ shape, type }: Omit<GgufTensor, "name">): number =>
  sizeOf(shape) / ggmlTypes[type].weights * ggmlTypes[type].bytes

/** Everything before the tensors' bytes, up to where the first begins; each next one begins at the next aligned place. */
export const encodeGgufHeader = (metadata: ReadonlyArray<Pair>, tensors: ReadonlyArray<GgufTensor>): Uint8Array => {
  let end = 0
  const infos = tensors.flatMap((tensor) => {
    const offset = aligned(end)
    end = offset + tensorBytes(tensor)
    return [
      text(tensor.name),
      u32(tensor.shape.length),
      ...tensor.shape.toReversed().map(u64), // the fastest axis first
      u32(ggmlTypes[tensor.type].id),
      u64(offset)
    ]
  })
  const header = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.length), ...metadata, ...infos])
  const padded = new Uint8Array(aligned(header.length))
  padded.set(header)
  return padded
}
