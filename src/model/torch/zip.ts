/**
 * The directory of a zip file (PKWARE APPNOTE 6.3.10, zip64 included): where the bytes of each entry are. For archives
 * whose entries are stored uncompressed; nothing is unpacked, and checksums are not compared.
 */
import { broken, ByteReader } from "./byte-reader.ts"

/** Reads bytes of the file; called only for ranges inside it. */
export type Read = (offset: number, length: number) => Uint8Array

export interface Place {
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
}

export interface Zip {
  readonly names: ReadonlyArray<string>
  /** Throws `FormatError` if there is no such entry, or it is compressed, encrypted or out of range. */
  readonly locate: (name: string) => Place
}

interface Entry {
  readonly flags: number
  readonly method: number
  readonly packed: number
  readonly length: number
  /** Where the local header begins. */
  readonly at: number
}

const signatures = { end: 0x06054b50, end64: 0x06064b50, locator64: 0x07064b50, central: 0x02014b50, local: 0x04034b50 }
const all16 = 0xffff
const all32 = 0xffffffff

/** Bytes; a thousand tensors need some hundred kB. */
const maxDirectory = 2 ** 28

interface Directory extends Place {
  readonly entries: number
}

/** Where the central directory is; undefined if the file does not end as a zip file does. */
const findDirectory = (read: Read, size: number): Directory | undefined => {
  const from = Math.max(0, size - 22 - all16) // the last record may carry a comment
  const tail = read(from, size - from)
  for (let at = tail.length - 22; at >= 0; at--) {
    if (tail[at] !== 0x50) continue
    const r = new ByteReader(tail, at)
    if (r.u32() !== signatures.end) continue
    r.skip(6)
    const [entries, length, offset, comment] = [r.u16(), r.u32(), r.u32(), r.u16()]
    if (at + 22 + comment !== tail.length) continue
    return from + at < 20 ? { entries, length, offset } : findDirectory64(read, from + at, size) ?? { entries, length, offset }
  }
  return undefined
}

const findDirectory64 = (read: Read, end: number, size: number): Directory | undefined => {
  const locator = new ByteReader(read(end - 20, 20))
  if (locator.u32() !== signatures.locator64) return undefined
  locator.skip(4)
  const at = locator.u64()
  if (at + 56 > size) return broken("its directory is out of range")
  const r = new ByteReader(read(at, 56))
  if (r.u32() !== signatures.end64) return broken("its zip64 record is damaged")
  r.skip(28)
  const [entries, length, offset] = [r.u64(), r.u64(), r.u64()]
  return { entries, length, offset }
}

const readEntry = (r: ByteReader): readonly [name: string, Entry] => {
  if (r.u32() !== signatures.central) return broken("its directory is damaged")
  r.skip(4)
  const [flags, method] = [r.u16(), r.u16()]
  r.skip(8)
  const [packed, length, nameLength, extraLength, commentLength] = [r.u32(), r.u32(), r.u16(), r.u16(), r.u16()]
  r.skip(8)
  const at = r.u32()
  const name = r.utf8(nameLength)
  const extra = new ByteReader(r.bytes(extraLength))
  r.skip(commentLength)
  return [name, { flags, method, ...wide(extra, extraLength, { length, packed, at }) }]
}

/**
 * Sizes and places that 32 bits cannot hold: for each field full of ones, the extra record 1 has the value, in this
 * order.
 */
const wide = (extra: ByteReader, end: number, narrow: Pick<Entry, "length" | "packed" | "at">) => {
  if (Object.values(narrow).every((value) => value !== all32)) return narrow
  while (extra.at + 4 <= end) {
    const [kind, length] = [extra.u16(), extra.u16()]
    if (kind !== 1) {
      extra.skip(length)
      continue
    }
    const value = (known: number) => (known === all32 ? extra.u64() : known)
    return { length: value(narrow.length), packed: value(narrow.packed), at: value(narrow.at) }
  }
  return narrow
}

/** Reads the directory; undefined if the file does not end as a zip file does. */
export const openZip = (read: Read, size: number): Zip | undefined => {
  const directory = findDirectory(read, size)
  if (directory === undefined) return undefined
  if (directory.offset + directory.length > size || directory.length > maxDirectory) return broken("its directory is out of range")
  const r = new ByteReader(read(directory.offset, directory.length))
  const entries = new Map<string, Entry>()
  for (let i = 0; i < directory.entries; i++) entries.set(...readEntry(r))
  const locate = (name: string): Place => {
    const { at, flags, length, method, packed } = entries.get(name) ?? broken(`it has no entry ${JSON.stringify(name)}`)
    if (method !== 0 || packed !== length) return broken(`its entry ${JSON.stringify(name)} is compressed`)
    if (flags & 1) return broken(`its entry ${JSON.stringify(name)} is encrypted`)
    if (at + 30 > directory.offset) return broken(`its entry ${JSON.stringify(name)} is out of range`)
    const local = new ByteReader(read(at, 30))
    if (local.u32() !== signatures.local) return broken(`its entry ${JSON.stringify(name)} is damaged`)
    local.skip(22)
    const offset = at + 30 + local.u16() + local.u16()
    return offset + length > directory.offset ? broken(`its entry ${JSON.stringify(name)} is out of range`) : { offset, length }
  }
  return { names: [...entries.keys()], locate }
}
