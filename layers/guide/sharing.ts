/** Questions that several pairs of a prompt have in common. */
import { Deferred, Effect, Exit } from "effect"
import type { JudgeError } from "../../src/stages/Judge.ts"
import type { Question } from "./question.ts"

export type Ask = <A>(question: Question<A>) => Effect.Effect<A, JudgeError>

/**
 * The same, but who asks what is being asked already waits for that answer; later the guide has it stored. A failure
 * goes to all who wait and is not remembered. Where the one who asked is interrupted, another asks.
 */
export const sharing = (plain: Ask): Ask => {
  /** By question: how it ended, undefined where it was interrupted. */
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
