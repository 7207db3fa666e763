/** How long a stranger's tokenizer or chat template may take, and what happens with a text that it cannot handle. */
import { Effect } from "effect"
import { CheckpointInvalid } from "../model-folder.ts"
import { TimeLimitPassed, within } from "../../system/time-limit.ts"

/**
 * Seconds for one text; an ordinary text takes milliseconds. The regular expressions of a tokenizer.json are a
 * stranger's, and the usual ones look ahead, which linear-time engines cannot.
 *
 * @param length of the text, characters or tokens
 */
export const secondsFor = (length: number): number => 3 + Math.ceil(length / 50_000)

/** Seconds for a whole vocabulary. */
export const openSeconds = 60

/** Runs work of a folder's tokenizer or template (`what`) and ends it after some seconds; throws `CheckpointInvalid`. */
export const limitedIn = (folder: string) => <A>(what: string, work: () => A, seconds: number): A => {
  try {
    return within(seconds, work)
  } catch (cause) {
    throw new CheckpointInvalid({
      message: cause instanceof TimeLimitPassed
        ? `${folder}: ${what} took longer than ${seconds} s for one text: take another model, or repair it.`
        : `${folder}: ${what} does not take this text: ${(cause as Error).message}.`
    })
  }
}

/** Such work as an effect, which fails with `CheckpointInvalid` if it is ended. */
export const tokenizing = <A>(work: () => A): Effect.Effect<A, CheckpointInvalid> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(work())
    } catch (cause) {
      if (cause instanceof CheckpointInvalid) return Effect.fail(cause)
      throw cause
    }
  })
