/** A question to a guide model: the words, the form of the answer, and the pictures. */
import { createHash } from "node:crypto"
import { Schema } from "effect"
import type { Part } from "./transport.ts"

/** What is the same for every picture, pair or prompt: the words and the form of the answer. */
export interface Rubric<A> {
  readonly system: string
  readonly answer: Schema.Codec<A, unknown>
  /** JSON schema of `answer`, in the form that structured output needs. */
  readonly schema: Readonly<Record<string, unknown>>
  /** Tokens of the longest answer. */
  readonly maxTokens: number
  /** Finds the JSON in what the model says, if it may say more. Default: all of it. */
  readonly read?: (text: string) => string
  /** Hash of the words and the form, 8 hex digits: part of a judge's identity. */
  readonly version: string
}

export const rubric = <A>(o: {
  readonly system: string
  readonly answer: Schema.Codec<A, unknown>
  readonly maxTokens: number
  readonly read?: (text: string) => string
}): Rubric<A> => {
  const strict = (schema: unknown): unknown =>
    Array.isArray(schema)
      ? schema.map(strict)
      : typeof schema !== "object" || schema === null
      ? schema
      : Object.fromEntries(
        Object.entries(schema).map(([key, value]) => [key, key === "additionalProperties" ? false : strict(value)])
      )
  const schema = strict(Schema.toJsonSchemaDocument(o.answer).schema) as Readonly<Record<string, unknown>>
  return { ...o, schema, version: hashOf([o.system, schema, o.maxTokens]).slice(0, 8) }
}

export const hashOf = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex")

/** One question: its name (`id`, the same for the same question) and how to ask it. */
export interface Question<A> {
  readonly id: string
  readonly rubric: Rubric<A>
  readonly parts: ReadonlyArray<Part>
}
