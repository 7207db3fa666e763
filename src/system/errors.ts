/** Errors for people: what they are told, and the last stop: one sentence on stderr, a non-zero exit, no stack trace. */
import { Effect, Predicate, Schema } from "effect"

/** Input that cannot be used; the message says which, why, and what to do. */
export class BadInput extends Schema.TaggedError<BadInput>()("BadInput", {
  message: Schema.String
}) {}

const messageOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && Predicate.isString(error.message) && error.message !== "" ? error.message : String(error)

/** One line on stderr, and nothing in it that a terminal would obey: a message may quote a file that somebody else wrote. */
export const tellError = (message: string): void =>
  void process.stderr.write(`vequinox: ${message.split("\n")[0]!.replace(/\p{Cc}/gu, "?")}\n`)

/** Prints the error's message unless it was printed already (usage-errors.ts prints the command line's own), and exits 1. */
export const oneSentence = (error: unknown): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!(Predicate.hasProperty(error, "_tag") && error._tag === "ShowHelp")) tellError(messageOf(error))
    process.exitCode = 1
  })
