/** Shares a question that several pairs of a prompt have in common. */
import { Deferred, Effect, Exit } from "effect"
import type { JudgeError } from "../../src/stages/Judge.ts"
import type { Question } from "./question.ts"

export type Ask = <A>(question: Question<A>) => Effect.Effect<A, JudgeError>

/**
 * The same `ask`, but a second caller of a question under way waits for the first one's answer; later the guide has it
 * stored. A failure goes to all who wait and is not remembered. If the caller who asked is interrupted, another one
 * asks.
 */
export const sharing = (plain: Ask): Ask => {
  /** By question: how it ended; undefined if it was interrupted. */
  const underWay = new Map<string, Deferred.Deferred<Exit.Exit<unknown, JudgeError> | undefined>>()
  const ask: Ask = <A>(question: Question<A>) =>
    Effect.uninterruptibleMask((restore): Effect.Effect<A, JudgeError> => {
      const asked = underWay.get(question.id)
      if (asked !== undefined) {
        return Effect.flatMap(restore(Deferred.await(asked)), (exit) =>
          exit === undefined ? restore(ask(question)) : exit as Exit.Exit<A, JudgeError>)
      }
      const ended = Deferred.makeUnsafe<Exit.Exit<unknown, JudgeError> | undefined>()
      underWay.set(question.id, ended)
      return restore(plain(question)).pipe(Effect.onExit((exit) =>
        Effect.sync(() => {
          underWay.delete(question.id)
          Deferred.doneUnsafe(ended, Effect.succeed(Exit.isFailure(exit) && Exit.hasInterrupts(exit) ? undefined : exit))
        })
      ))
    })
  return ask
}
