import { Schema } from "effect"

/** The file cannot be used; the message says which and why. */
export class AnswersFailed extends Schema.TaggedError<AnswersFailed>()("AnswersFailed", {
  message: Schema.String
}) {}
