/** The last stop of every error: one sentence on stderr, a non-zero exit, no stack trace. */
import { Effect, Predicate } from "effect"

/** One line, and nothing in it that a terminal would obey: a message may quote a file that somebody else wrote. */
const messageOf = (error: unknown): string =>
  (Predicate.hasProperty(error, "message") && Predicate.isString(error.message) && error.message !== ""
    ? error.message.split("\n")[0]!
    : String(error)).replace(/\p{Cc}/gu, "?")

/** Prints the error's message unless it was printed already (the command line's own usage errors are), and exits 1. */
export const oneSentence = (error: unknown): Effect.Effect<void> =>
  Effect.sync(() => {
    if (!(Predicate.hasProperty(error, "_tag") && error._tag === "ShowHelp")) {
      process.stderr.write(`vequinox: ${messageOf(error)}\n`)
    }
    process.exitCode = 1
  })
