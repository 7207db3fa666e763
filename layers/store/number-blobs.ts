/**
 * Lists of numbers as blobs of a run's database, without the loss of a bit: a byte that names their type, then the values,
 * big-endian. The byte is the letter that Python's `struct` and numpy have for the type, and the order is that in which
 * Postgres sends numbers (`int4send`, `float8send`), so SQL alone can write a blob (layers/postgres/schema.ts).
 */
import { Effect, Schema, SchemaIssue, SchemaTransformation } from "effect"

interface NumberType {
  readonly letter: string
  /** Of a value. */
  readonly bytes: number
  /** Whether the value comes back as it was; -0 and NaN are values like others. */
  readonly holds: (value: number) => boolean
  readonly read: (view: DataView, at: number) => number
  readonly write: (view: DataView, at: number, value: number) => void
}

/**
 * Smallest first: a list gets the first that holds all of it. Ids of tokens are `H` up to a vocabulary of 65,536 and `i` above;
 * log-probabilities are `f` where a server told them in 32 bits, `d` where they were summed here. Vocabularies of 256
 * tokens are too rare for a type of their own.
 */
const types: ReadonlyArray<NumberType> = [
  { letter: "H", bytes: 2, holds: (n) => Object.is(n, n & 0xffff), read: (view, at) => view.getUint16(at), write: (view, at, n) => view.setUint16(at, n) },
  { letter: "i", bytes: 4, holds: (n) => Object.is(n, n | 0), read: (view, at) => view.getInt32(at), write: (view, at, n) => view.setInt32(at, n) },
  { letter: "f", bytes: 4, holds: (n) => Object.is(n, Math.fround(n)), read: (view, at) => view.getFloat32(at), write: (view, at, n) => view.setFloat32(at, n) },
  { letter: "d", bytes: 8, holds: () => true, read: (view, at) => view.getFloat64(at), write: (view, at, n) => view.setFloat64(at, n) }
]

export const blobOf = (numbers: ReadonlyArray<number>): Uint8Array => {
  const { bytes, letter, write } = types.find(({ holds }) => numbers.every(holds))!
  const blob = new Uint8Array(1 + bytes * numbers.length)
  blob[0] = letter.charCodeAt(0)
  const view = new DataView(blob.buffer, 1)
  numbers.forEach((value, n) => write(view, bytes * n, value))
  return blob
}

const unblobbed = (blob: Uint8Array): Effect.Effect<ReadonlyArray<number>, SchemaIssue.Issue> => {
  const damaged = (what: string) => Effect.fail(new SchemaIssue.InvalidValue({ message: `A list of numbers is damaged: ${what}.` }))
  const type = types.find(({ letter }) => letter.charCodeAt(0) === blob[0])
  if (type === undefined) return damaged(blob.length === 0 ? "it has no byte" : `its type is the unknown byte ${blob[0]}`)
  const { bytes, letter, read } = type
  const length = (blob.length - 1) / bytes
  if (!Number.isInteger(length)) return damaged(`a value of its type ${letter} has ${bytes} bytes, and ${blob.length - 1} follow`)
  const view = new DataView(blob.buffer, blob.byteOffset + 1)
  return Effect.succeed(Array.from({ length }, (_, n) => read(view, bytes * n)))
}

/** A column's value: a blob, or the JSON that older versions wrote, as files that nobody may write still have it. */
const column = <S extends Schema.Codec<number>>(value: S) => {
  const numbers = Schema.Array(value)
  const blob = Schema.Uint8Array.pipe(Schema.decodeTo(
    numbers,
    SchemaTransformation.transformEffect({ decode: unblobbed, encode: (list: ReadonlyArray<number>) => Effect.succeed(blobOf(list)) })
  ))
  return Schema.Union([blob, Schema.fromJsonString(numbers)])
}

export const IntColumn = column(Schema.Int)
export const NumberColumn = column(Schema.Finite)

/** Throws where the value is neither. */
export const listIn = Schema.decodeUnknownSync(NumberColumn)

const isNumbers = (value: unknown): value is ReadonlyArray<number> => Array.isArray(value) && value.every(Number.isFinite)

/**
 * The blob of what older versions wrote. What is not a list of numbers is kept as it is, and refused when it is read, as it was.
 * There may be hundreds of thousands, so each is checked by hand.
 */
export const blobOfJson = (json: string): Uint8Array => {
  try {
    const value: unknown = JSON.parse(json)
    if (isNumbers(value)) return blobOf(value)
  } catch {
    // nor is it JSON
  }
  return new TextEncoder().encode(json)
}
