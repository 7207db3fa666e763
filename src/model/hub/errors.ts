/** Errors of fetching a model from the Hub. */
import { Schema } from "effect"

/** The model cannot be fetched; the message says why and what to do. */
export class ModelUnavailable extends Schema.TaggedError<ModelUnavailable>()("ModelUnavailable", {
  message: Schema.String
}) {}

/** No answer now, but there may be one later. The message is what happened, without a full stop. */
export class HubBusy extends Schema.TaggedError<HubBusy>()("HubBusy", {
  message: Schema.String,
  /** False if there was no connection at all. */
  reached: Schema.Boolean,
  /** Seconds that the Hub asked us to wait, 0 if it did not say. */
  retryAfter: Schema.Finite
}) {}
