/** Reads binary formats: a position that moves through some bytes, and one error for everything that is impossible. */

/** The file is not what it says it is; the message, half a sentence, names what is wrong, not which file. */
export class FormatError extends Error {
  override readonly name = "FormatError"
}
export const broken = (message: string): never => {
  throw new FormatError(message)
}

/** Little-endian unless the name says otherwise. Reading past the end throws `FormatError`. */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = at
  }

  /** Moves ahead by `length` bytes and returns where they began. */
  skip(length: number): number {
    const from = this.at
    if (from < 0 || from + length > this.#bytes.length) broken("it ends in the middle of a record")
    this.at = from + length
    return from
  }

  /** A view of the next bytes. */
  bytes(length: number): Uint8Array {
    const from = this.skip(length)
    return this.#bytes.subarray(from, from + length)
  }

  u8 = (): number => this.#view.getUint8(this.skip(1))
  u16 = (): number => this.#view.getUint16(this.skip(2), true)
  u32 = (): number => this.#view.getUint32(this.skip(4), true)
  i32 = (): number => this.#view.getInt32(this.skip(4), true)
  f64BigEndian = (): number => this.#view.getFloat64(this.skip(8), false)

  u64(): number {
    const value = Number(this.#view.getBigUint64(this.skip(8), true))
    return Number.isSafeInteger(value) ? value : broken(`it claims a length of ${value} bytes`)
  }

  utf8(length: number): string {
    const bytes = this.bytes(length)
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
    } catch {
      return broken("a name in it is not UTF-8")
    }
  }

  /** Text up to the next line feed, which is read too. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at)
    if (end < 0) broken("it ends in the middle of a record")
    const text = this.utf8(end - this.at)
    this.skip(1)
    return text
  }
}
