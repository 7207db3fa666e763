/** PNG, small enough to read: 8 bits a channel, no filter, zlib from Node. What is written here can be read back. */
import { crc32, deflateSync, inflateSync } from "node:zlib"

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)

/** A chunk: length, four letters, data, CRC of letters and data (PNG 1.2, section 3.2). */
const chunk = (type: string, data: Uint8Array): Buffer => {
  const bytes = Buffer.alloc(data.length + 12)
  bytes.writeUInt32BE(data.length, 0)
  bytes.write(type, 4, "latin1")
  bytes.set(data, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, data.length + 8)), data.length + 8)
  return bytes
}

/**
 * The file's bytes; the same pixels always give the same bytes. An opaque picture is written as RGB, any other as RGBA.
 *
 * @param width pixels, at least 1
 * @param height pixels, at least 1
 * @param rgba `[height * width * 4]`, row by row from the top left, alpha not premultiplied; only read
 * @throws RangeError if `rgba` has another length
 */
export const encodePng = (width: number, height: number, rgba: Uint8Array): Uint8Array => {
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1 || rgba.length !== width * height * 4) {
    throw new RangeError(
      `A PNG of ${width} x ${height} pixels needs ${width * height * 4} bytes of RGBA, not ${rgba.length}: check the picture's size.`
    )
  }
  let opaque = true
  for (let i = 3; opaque && i < rgba.length; i += 4) opaque = rgba[i] === 255
  const channels = opaque ? 3 : 4
  const rows = Buffer.alloc(height * (1 + width * channels)) // each row starts with its filter: 0, none
  let to = 0
  for (let from = 0; from < rgba.length; from += 4) {
    if (from % (width * 4) === 0) to++
    rows[to++] = rgba[from]!
    rows[to++] = rgba[from + 1]!
    rows[to++] = rgba[from + 2]!
    if (!opaque) rows[to++] = rgba[from + 3]!
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = 8 // bits a channel
  header[9] = opaque ? 2 : 6 // RGB or RGBA
  const png = Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array(0))
  ])
  return new Uint8Array(png.buffer, png.byteOffset, png.byteLength)
}

/** Not a file that `encodePng` wrote. */
export class NotOurPng extends Error {
  override readonly name = "NotOurPng"
}

/** The most pixels of a side that are read back. */
const widest = 8192

/**
 * The pixels of a file that `encodePng` wrote; no other PNG is read. Takes no more memory than its header says, and refuses
 * a header that says too much.
 *
 * @returns `rgba`: `[height * width * 4]`, the same bytes that were written
 * @throws NotOurPng for anything else, however it is broken
 */
export const decodePng = (png: Uint8Array): { readonly width: number; readonly height: number; readonly rgba: Uint8Array } => {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength)
  const refuse = (why: string): never => {
    throw new NotOurPng(`This PNG ${why}: only those that vequinox wrote are read.`)
  }
  if (bytes.length < 57 || !bytes.subarray(0, 8).equals(signature) || bytes.toString("latin1", 12, 16) !== "IHDR") refuse("has no header")
  const [width, height, channels] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20), bytes[25] === 2 ? 3 : 4]
  if (bytes[24] !== 8 || (bytes[25] !== 2 && bytes[25] !== 6) || bytes[28] !== 0) refuse("is of another kind")
  if (width < 1 || height < 1 || width > widest || height > widest) refuse(`says that it has ${width} x ${height} pixels`)
  const length = bytes.readUInt32BE(33)
  if (bytes.toString("latin1", 37, 41) !== "IDAT" || bytes.length !== 57 + length) refuse("has other chunks")
  const expected = height * (1 + width * channels)
  let rows: Buffer
  try {
    rows = inflateSync(bytes.subarray(41, 41 + length), { maxOutputLength: expected })
  } catch {
    return refuse("is damaged")
  }
  if (rows.length !== expected) refuse("is cut off")
  const rgba = new Uint8Array(width * height * 4).fill(255)
  for (let from = 0, to = 0; from < rows.length;) {
    if (to % (width * 4) === 0 && rows[from++] !== 0) refuse("has a filter")
    for (let c = 0; c < channels; c++) rgba[to + c] = rows[from++]!
    to += 4
  }
  return { width, height, rgba }
}
