/** Reads a GGUF file by the format's own description, sharing nothing with the writer. */
import * as fs from "node:fs"

export interface ReadTensor {
  /** The fastest axis first, as in the file. */
  readonly dims: ReadonlyArray<number>
  /** ggml's number. */
  readonly type: number
  readonly values: Float32Array
}

export interface Gguf {
  readonly metadata: ReadonlyMap<string, unknown>
  readonly tensors: ReadonlyMap<string, ReadTensor>
}

const half = (bits: number): number => {
  const [sign, exponent, fraction] = [bits >>> 15 ? -1 : 1, (bits >>> 10) & 31, bits & 1023]
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

export const readGguf = (file: string): Gguf => {
  const bytes = fs.readFileSync(file)
  let at = 0
  const u32 = () => bytes.readUInt32LE((at += 4) - 4)
  const u64 = () => Number(bytes.readBigUInt64LE((at += 8) - 8))
  const text = () => {
    const n = u64()
    return bytes.toString("utf8", at, at += n)
  }
  const value = (type: number): unknown => {
    if (type === 4) return u32()
    if (type === 5) return bytes.readInt32LE((at += 4) - 4)
    if (type === 6) return bytes.readFloatLE((at += 4) - 4)
    if (type === 7) return bytes[at++] === 1
    if (type === 8) return text()
    if (type !== 9) throw new Error(`value type ${type}`)
    const [of, n] = [u32(), u64()]
    return Array.from({ length: n }, () => value(of))
  }
  if (bytes.toString("latin1", 0, 4) !== "GGUF") throw new Error("no GGUF")
  at = 4
  if (u32() !== 3) throw new Error("not version 3")
  const [tensors, pairs] = [u64(), u64()]
  const metadata = new Map(Array.from({ length: pairs }, () => [text(), value(u32())] as const))
  const infos = Array.from({ length: tensors }, () => ({
    name: text(),
    dims: Array.from({ length: u32() }, u64),
    type: u32(),
    offset: u64()
  }))
  const start = Math.ceil(at / 32) * 32
  const read = ({ dims, offset, type }: (typeof infos)[number]): Float32Array => {
    const n = dims.reduce((a, b) => a * b, 1)
    const from = start + offset
    if (offset % 32 !== 0) throw new Error("not aligned")
    return Float32Array.from({ length: n }, (_, i) => {
      if (type === 0) return bytes.readFloatLE(from + 4 * i)
      if (type === 1) return half(bytes.readUInt16LE(from + 2 * i))
      if (type !== 8) throw new Error(`tensor type ${type}`)
      const block = from + 34 * Math.floor(i / 32)
      return half(bytes.readUInt16LE(block)) * bytes.readInt8(block + 2 + i % 32)
    })
  }
  return { metadata, tensors: new Map(infos.map((info) => [info.name, { dims: info.dims, type: info.type, values: read(info) }])) }
}
