/** How a request is refused: the body that OpenAI's clients read, one type for each status. */
import { Schema } from "effect"
import { HttpApiSchema } from "effect/http-api"

const refusal = <const Type extends string>(type: Type, status: number) => ({
  type,
  status,
  schema: Schema.Struct({
    error: Schema.Struct({
      message: Schema.String,
      type: Schema.Literal(type),
      /** The field that is wrong. */
      param: Schema.NullOr(Schema.String),
      code: Schema.NullOr(Schema.String)
    })
  }).annotate({ identifier: type }).pipe(HttpApiSchema.status(status))
})

const kinds = {
  invalid: refusal("invalid_request_error", 400),
  unauthenticated: refusal("authentication_error", 401),
  forbidden: refusal("permission_error", 403),
  missing: refusal("not_found_error", 404),
  tooLarge: refusal("request_too_large", 413),
  tooMany: refusal("rate_limit_error", 429),
  failed: refusal("server_error", 500)
} as const

export type Kind = keyof typeof kinds

export const errors = [
  kinds.invalid.schema,
  kinds.unauthenticated.schema,
  kinds.forbidden.schema,
  kinds.missing.schema,
  kinds.tooLarge.schema,
  kinds.tooMany.schema,
  kinds.failed.schema
] as const

export type Refusal = (typeof errors)[number]["Type"]

/** @param param the field that is wrong */
export const refuse = (kind: Kind, message: string, param: string | null = null, code: string | null = null): Refusal =>
  ({ error: { message, type: kinds[kind].type, param, code } }) as Refusal

/** A failure that has a sentence of its own is told in it: it ends one request, never the server. */
export const asRefusal = (failure: Refusal | { readonly message: string }): Refusal => "error" in failure ? failure : refuse("failed", failure.message)

export const kindOf = (refusal: Refusal): Kind =>
  (Object.keys(kinds) as ReadonlyArray<Kind>).find((kind) => kinds[kind].type === refusal.error.type)!

/** The first thing that is wrong with a body, in one line. Effect says what it expected and where, not what was there: that may be a key. */
export const said = (error: { readonly message: string }): string => error.message.split("\n").map((line) => line.trim()).join(" ").slice(0, 500)
