/** How fields of requests are written. */
import { Schema } from "effect"

export const between = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))
export const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
/** Clients write null where they mean nothing. */
export const optional = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))
