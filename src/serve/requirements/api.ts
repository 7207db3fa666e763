/**
 * Which of a prompt's requirements a drawing meets, for whoever writes an evaluation. The question has the names of SVGBench's
 * and Eval Protocol's rows; the answer is Eval Protocol's `EvaluateResult`, and has SVGBench's `reasoning` and
 * `number_of_fulfilled_requirements` beside it. Fields that are not named here are ignored.
 */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { optional } from "../fields.ts"
import { Guarded, Readable } from "../guard.ts"
import { errors } from "../refusals.ts"

const text = (most: number) => Schema.String.check(Schema.isMaxLength(most))

export const mostRequirements = 50

export const EvaluateRequest = Schema.Struct({
  /** A chat: the drawing is its last message, and what it was asked for the last one of the user. */
  messages: optional(Schema.Array(Schema.Struct({
    role: Schema.String,
    content: optional(Schema.Union([Schema.String, Schema.Array(Schema.Struct({ type: Schema.String, text: Schema.optionalKey(Schema.String) }))]))
  })).check(Schema.isMaxLength(1000))),
  /** In place of the last message: an SVG, or a text with one in it. */
  svg: optional(Schema.String),
  /** What was to be drawn, in place of the user's message. */
  prompt: optional(text(10_000)),
  /** The same, as Eval Protocol's rows call it. */
  original_prompt: optional(text(10_000)),
  requirements: Schema.Array(text(1000).check(Schema.isPattern(/\S/))).check(Schema.isMinLength(1), Schema.isMaxLength(mostRequirements))
}).annotate({ identifier: "EvaluateRequest" })
export type EvaluateRequest = typeof EvaluateRequest.Type

export const Evaluation = Schema.Struct({
  /** Share of the requirements that are met, in [0, 1]; 0 for a drawing that does not render. */
  score: Schema.Finite,
  /** False if the model that looks gave no usable answer: then the score says nothing. */
  is_score_valid: Schema.Boolean,
  reason: Schema.String,
  /** The same as `reason`, as SVGBench calls it. */
  reasoning: Schema.String,
  number_of_fulfilled_requirements: Schema.Int,
  total_requirements: Schema.Int,
  /** By the requirement with its number, from 1. */
  metrics: Schema.Record(Schema.String, Schema.Struct({ score: Schema.Finite, is_score_valid: Schema.Boolean, reason: Schema.String }))
}).annotate({ identifier: "Evaluation" })

export class Requirements extends HttpApiGroup.make("requirements").add(
  HttpApiEndpoint.post("evaluate", "/v1/evaluate", { payload: EvaluateRequest, success: Evaluation, error: errors })
).middleware(Readable).middleware(Guarded).annotate(OpenApi.Description, "Which requirements a drawing meets") {}
