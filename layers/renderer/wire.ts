/**
 * The messages between the renderer's processes: calls down, answers up, each with its length. Numbers are
 * little-endian uint32.
 *
 *      call    id, size in pixels plus 2^31 for letters or 2^30 for a PNG, bytes, and SVG as UTF-8 or the PNG in base64
 *      answer  id, kind (0 ready, 1 pixels, 2 error), bytes, and
 *              pixels: runs, see `encodePixels` · error: a message as UTF-8
 */
import * as fs from "node:fs"

export interface Call {
  readonly id: number
  /** An SVG, or a PNG in base64 if `png` is set. */
  readonly svg: string
  readonly png: boolean
  /** Pixels of a side, less than 2^30. */
  readonly size: number
  /** Whether letters are drawn, in the embedded font; otherwise they leave nothing. */
  readonly letters: boolean
}
export type Answer =
  /** Sent once, before anything else. */
  | { readonly _tag: "Ready" }
  /** `[size * size * 4]` opaque RGBA. */
  | { readonly _tag: "Pixels"; readonly id: number; readonly rgba: Uint8Array }
  | { readonly _tag: "Error"; readonly id: number; readonly message: string }

/** File descriptors in the child. */
export const wire = { calls: 3, answers: 4 } as const

const headerLength = 12
const header = (a: number, b: number, c: number): Buffer => {
  const bytes = Buffer.allocUnsafe(headerLength)
  bytes.writeUInt32LE(a, 0)
  bytes.writeUInt32LE(b, 4)
  bytes.writeUInt32LE(c, 8)
  return bytes
}

const [withLetters, isPng] = [2 ** 31, 2 ** 30]

/** Several calls in one piece. */
export const encodeCalls = (calls: ReadonlyArray<Call>): Uint8Array => {
  const lengths = calls.map(({ svg }) => Buffer.byteLength(svg))
  const bytes = Buffer.allocUnsafe(lengths.reduce((total, length) => total + headerLength + length, 0))
  let at = 0
  calls.forEach(({ id, letters, png, size, svg }, n) => {
    at = bytes.writeUInt32LE(id, at)
    at = bytes.writeUInt32LE(size + (letters ? withLetters : 0) + (png ? isPng : 0), at)
    at = bytes.writeUInt32LE(lengths[n]!, at)
    at += bytes.write(svg, at)
  })
  return bytes
}

/** Waits for the next call; undefined if the other end was closed. For the child: it blocks. */
export const nextCall = (): Call | undefined => {
  const head = read(headerLength)
  if (head === undefined) return undefined
  const size = head.readUInt32LE(4)
  const text = read(head.readUInt32LE(8))
  return text && {
    id: head.readUInt32LE(0),
    size: size % isPng,
    letters: size >= withLetters,
    png: size % withLetters >= isPng,
    svg: text.toString("utf8")
  }
}

const read = (length: number): Buffer | undefined => {
  while (held.length < length) {
    const count = fs.readSync(wire.calls, incoming)
    if (count === 0) return undefined
    held = Buffer.concat([held, incoming.subarray(0, count)])
  }
  const bytes = held.subarray(0, length)
  held = held.subarray(length)
  return bytes
}
const incoming = Buffer.alloc(65_536)
let held = Buffer.alloc(0)

/** The bytes stay valid until the next call. */
export const encodeAnswer = (answer: Answer): Uint8Array => {
  if (answer._tag === "Ready") return header(0, 0, 0)
  if (answer._tag === "Pixels") {
    const encoded = encodePixels(answer.id, answer.rgba)
    if (encoded !== undefined) return encoded
  }
  const text = Buffer.from(answer._tag === "Error" ? answer.message : "it came out transparent", "utf8")
  return Buffer.concat([header(answer.id, 2, text.length), text])
}

/** @returns a function that takes bytes as they arrive and tells each answer once it is whole */
export const decodeAnswers = (tell: (answer: Answer) => void): (bytes: Buffer) => void => {
  let parts: Array<Buffer> = []
  let held = 0
  let needed = headerLength
  return (bytes) => {
    held += bytes.length
    if (held < needed) return void parts.push(bytes)
    let rest = parts.length === 0 ? bytes : Buffer.concat([...parts, bytes], held)
    for (;;) {
      needed = headerLength
      if (rest.length >= headerLength) needed += rest.readUInt32LE(8)
      if (rest.length < needed) break
      const [id, kind] = [rest.readUInt32LE(0), rest.readUInt32LE(4)]
      const body = rest.subarray(headerLength, needed)
      tell(
        kind === 0
          ? { _tag: "Ready" }
          : kind === 1
          ? { _tag: "Pixels", id, rgba: fromRuns(body) }
          : { _tag: "Error", id, message: body.toString("utf8") }
      )
      rest = rest.subarray(needed)
    }
    parts = rest.length === 0 ? [] : [rest]
    held = rest.length
  }
}

/**
 * Moving 200 kB between processes takes about as long as drawing them, so pixels travel as runs. A run is a uint32 with
 * red, green and blue where RGBA has them; the place of alpha, which is always 255, says how many more pixels are the
 * same. This is never longer than the pixels, and for flat colours ten to a hundred times shorter. The first uint32 is
 * the number of pixels.
 *
 * @returns the whole answer; undefined if a pixel is not opaque
 */
const encodePixels = (id: number, rgba: Uint8Array): Uint8Array | undefined => {
  const aligned = rgba.byteOffset % 4 === 0 ? rgba : new Uint8Array(rgba)
  const pixels = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4)
  const before = headerLength / 4
  if (scratch.length < before + 1 + pixels.length) scratch = new Uint32Array(before + 1 + pixels.length)
  let count = before
  scratch[count++] = pixels.length
  for (let i = 0; i < pixels.length;) {
    const pixel = pixels[i]!
    if (pixel >>> 24 !== 255) return undefined
    const start = i
    const most = Math.min(pixels.length, start + 256)
    do i++
    while (i < most && pixels[i] === pixel)
    scratch[count++] = (pixel & 0xffffff) | (i - start - 1) << 24
  }
  scratch[0] = id
  scratch[1] = 1
  scratch[2] = (count - before) * 4
  return new Uint8Array(scratch.buffer, 0, count * 4)
}
let scratch = new Uint32Array(1)

/** The RGBA of the runs, in new memory. */
const fromRuns = (bytes: Uint8Array): Uint8Array => {
  const runs = bytes.byteOffset % 4 === 0
    ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    : new Uint32Array(new Uint8Array(bytes).buffer)
  const out = new Uint32Array(runs[0]!)
  let at = 0
  for (let i = 1; i < runs.length; i++) {
    const run = runs[i]!
    const end = at + (run >>> 24) + 1
    if (end - at > 16) out.fill(run | 0xff000000, at, end)
    else for (; at < end; at++) out[at] = run | 0xff000000
    at = end
  }
  return new Uint8Array(out.buffer)
}
