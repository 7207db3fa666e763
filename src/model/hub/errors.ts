/** Errors of fetching a model from the Hub, and of pushing to it. */
import { Schema } from "effect"
import { codeOf, rootOf, wasUnsent } from "../../system/http-failure.ts"

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

/** What a rejected fetch means. @param shown hides the token in the words of others */
export const lostConnection = (host: string, cause: unknown, shown: (said: string) => string): HubBusy => {
  const detail = shown(rootOf(cause)) || codeOf(cause)
  return wasUnsent(cause)
    ? new HubBusy({ message: `${host} cannot be reached (${detail})`, reached: false, retryAfter: 0 })
    : new HubBusy({ message: `The connection to ${host} broke off (${detail})`, reached: true, retryAfter: 0 })
}

/** The files cannot be pushed; the message says why and what to do. */
export class PushRefused extends Schema.TaggedError<PushRefused>()("PushRefused", { message: Schema.String }) {}
