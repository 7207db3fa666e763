/** Errors for people: one sentence on stderr, a non-zero exit, no stack trace. This is the last stop of every error. */
import { Effect, Predicate, Schema } from "effect"

/** Input that cannot be used; the message says which, why, and what to do. */
export class BadInput extends Schema.TaggedError<BadInput>()("BadInput", {
  message: Schema.String
}) {}

const messageOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && Predicate.isString(error.message) && error.message !== "" ? error.message : String(error)

/** Writes one line to stderr, without anything that a terminal would obey: a message may quote somebody else's file. */
export const tellError = (message: string): void =>
  void process.stderr.write(`vequinox: ${message.split("\n")[0]!.replace(/\p{Cc}/gu, "?")}\n`)

/**
 * Prints the error's message and exits with 1. Messages that usage-errors.ts has printed already (the command line's
 * own) are not repeated.
 */
export const oneSentence = (error: unknown): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!(Predicate.hasProperty(error, "_tag") && error._tag === "ShowHelp")) tellError(messageOf(error))
    process.exitCode = 1
  })
