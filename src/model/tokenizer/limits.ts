/** How long a stranger's tokenizer or chat template may take, and what becomes of a text that it does not take. */
import { Effect } from "effect"
import { CheckpointInvalid } from "../model-folder.ts"
import { TimeLimitPassed, within } from "../../system/time-limit.ts"

/**
 * Seconds for one text, where an ordinary one takes milliseconds. The regular expressions of a tokenizer.json are a
 * stranger's, and the usual ones look ahead, which engines that are linear by themselves cannot.
 *
 * @param length of the text, characters or tokens
 */
export const secondsFor = (length: number): number => 3 + Math.ceil(length / 50_000)

/** Seconds for a whole vocabulary. */
export const openSeconds = 60

/** Work of the tokenizer or the template (`what`) of a folder, ended after some seconds; throws `CheckpointInvalid`. */
export const limitedIn = (folder: string) => <A>(what: string, work: () => A, seconds: number): A => {
  try {
    return within(seconds, work)
  } catch (cause) {
    throw new CheckpointInvalid({
      message: cause instanceof TimeLimitPassed
        ? `${folder}: ${what} took longer than ${seconds} s for one text: take another model, or mend it.`
        : `${folder}: ${what} does not take this text: ${(cause as Error).message}.`
    })
  }
}

/** Work that such a text may end, as an effect that fails with `CheckpointInvalid` then. */
export const tokenizing = <A>(work: () => A): Effect.Effect<A, CheckpointInvalid> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(work())
    } catch (cause) {
      if (cause instanceof CheckpointInvalid) return Effect.fail(cause)
      throw cause
    }
  })
