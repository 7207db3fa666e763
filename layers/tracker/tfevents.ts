/**
 * The format of TensorBoard's event files (tensorflow/core/util/event.proto, tensorflow/core/lib/io/record_writer.cc): records
 * of a length, its checksum, an `Event` message and its checksum.
 */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire"

/** CRC-32C (Castagnoli) of every byte value; the polynomial's bits are reversed. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** A checksum that may stand beside data which holds checksums itself: rotated, and moved by a constant. */
export const maskedCrc = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** One record of the file. */
export const record = (data: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(data.length + 16)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(data.length), true)
  view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true)
  bytes.set(data, 12)
  view.setUint32(12 + data.length, maskedCrc(data), true)
  return bytes
}

const lengthDelimited = 2
/** Tag of a field that holds a message, text or bytes. */
const field = (writer: BinaryWriter, number: number): BinaryWriter => writer.tag(number, lengthDelimited)
const message = (writer: BinaryWriter, number: number, inner: BinaryWriter): BinaryWriter => field(writer, number).bytes(inner.finish())
const text = (writer: BinaryWriter, number: number, value: string): BinaryWriter => field(writer, number).string(value)

/** `Event` with its `wall_time`, seconds since 1970, and `step`. */
const event = (seconds: number, step: number): BinaryWriter => {
  const writer = new BinaryWriter().tag(1, 1).double(seconds)
  return step === 0 ? writer : writer.tag(2, 0).int64(step)
}

/** The first record of a file. */
export const versionEvent = (seconds: number): Uint8Array =>
  record(message(text(event(seconds, 0), 3, "brain.Event:2"), 10, text(new BinaryWriter(), 1, "vequinox")).finish())

/** `SessionLog.START`: a reader forgets everything it has read of this step and later ones. */
export const startEvent = (seconds: number, step: number): Uint8Array =>
  record(message(event(seconds, step), 7, new BinaryWriter().tag(1, 0).int32(1)).finish())

const summary = (values: ReadonlyArray<BinaryWriter>): BinaryWriter =>
  values.reduce((writer, value) => message(writer, 1, value), new BinaryWriter())

/** Scalars of one step; they are stored as 32-bit floats. */
export const scalarsEvent = (seconds: number, step: number, scalars: Readonly<Record<string, number>>): Uint8Array =>
  record(message(
    event(seconds, step),
    5,
    summary(Object.entries(scalars).map(([tag, value]) => text(new BinaryWriter(), 1, tag).tag(2, 5).float(value)))
  ).finish())

/** A text, shown as Markdown. */
export const textEvent = (seconds: number, step: number, tag: string, markdown: string): Uint8Array => {
  const dtString = 7
  const tensor = text(message(new BinaryWriter().tag(1, 0).int32(dtString), 2, message(new BinaryWriter(), 2, new BinaryWriter().tag(1, 0).int64(1))), 8, markdown)
  const metadata = message(new BinaryWriter(), 1, text(new BinaryWriter(), 1, "text"))
  return record(message(event(seconds, step), 5, summary([message(message(text(new BinaryWriter(), 1, tag), 8, tensor), 9, metadata)])).finish())
}

/** Calls `on` with each field of a message, its reader standing before the value; `false` leaves the value unread. */
const eachField = (bytes: Uint8Array, on: (number: number, reader: BinaryReader) => boolean): void => {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag()
    if (!on(number, reader)) reader.skip(wire)
  }
}

/** Whether a `Summary` has a scalar. */
const hasScalar = (summary: Uint8Array): boolean => {
  let found = false
  eachField(summary, (_, values) => {
    eachField(values.bytes(), (number) => {
      found ||= number === 2
      return false
    })
    return true
  })
  return found
}

/** The `step` of an `Event`, and what it tells of it. */
const toldBy = (data: Uint8Array): { readonly step: number; readonly tells: "nothing" | "text" | "scalars" } => {
  let step = 0
  let tells: "nothing" | "text" | "scalars" = "nothing"
  eachField(data, (number, reader) => {
    if (number === 2) step = Number(reader.int64())
    else if (number === 5) tells = hasScalar(reader.bytes()) ? "scalars" : "text"
    else return false
    return true
  })
  return { step, tells }
}

/**
 * What of a file comes before its first record about this step or a later one.
 *
 * `bytes`: its length, whole records. `last`: the last step with scalars in it, -1 without one.
 */
export const before = (file: Uint8Array, step: number): { readonly bytes: number; readonly last: number } => {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  let [bytes, last] = [0, -1]
  while (bytes + 16 <= file.length) {
    const end = bytes + 16 + Number(view.getBigUint64(bytes, true))
    if (end > file.length) break
    const told = toldBy(file.subarray(bytes + 12, end - 4))
    if (told.tells !== "nothing" && told.step >= step) break
    if (told.tells === "scalars") last = told.step
    bytes = end
  }
  return { bytes, last }
}
