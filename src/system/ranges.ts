/** The allowed ranges of numbers: a test and its words in one place, so that every refusal names the range. */
import { Effect, Schema, SchemaGetter } from "effect"

const ranged = (words: string, test: (x: number) => boolean) =>
  Schema.declare((x): x is number => typeof x === "number" && test(x), { expected: words })

/** Whole, from `from` to `to`. */
export const int = (from: number, to = Number.MAX_SAFE_INTEGER) =>
  ranged(
    to === Number.MAX_SAFE_INTEGER ? `a whole number, ${from} or more` : `a whole number from ${from} to ${to}`,
    (x) => Number.isSafeInteger(x) && x >= from && x <= to
  )

/** From `from` to `to`, both included. */
export const real = (from: number, to: number) => ranged(`a number from ${from} to ${to}`, (x) => x >= from && x <= to)

/** More than `from`, at most `to`. */
export const above = (from: number, to: number) => ranged(`a number over ${from}, at most ${to}`, (x) => x > from && x <= to)

/** The number in a text. Text that is not a number is out of every range. */
export const fromText = <S extends Schema.Codec<number, number>>(range: S) =>
  Schema.String.pipe(Schema.decodeTo(range, {
    decode: SchemaGetter.transform((text: string) => text.trim() === "" ? NaN : Number(text)),
    encode: SchemaGetter.transform(String)
  }))

/** The schema of a setting that has a default. */
export const orElse = <S extends Schema.Top>(schema: S, value: S["Encoded"]) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))
