/**
 * Has work done by any runner, and asks again what failed.
 *
 * A result that was stored answers at once, also to an optimizer that begins anew on another runner. A stored failure must not
 * be final: one of an earlier life of the optimizer is asked again under the next key, and so is one of this life, when
 * the caller asks again. So the keys of a question are a chain, of which only the last can be a success.
 */
import { createHash } from "node:crypto"
import { Duration, Effect, Schedule } from "effect"
import type { Result } from "./work.ts"

/** Hash of what a piece of work is, hex. */
export const hashOf = (...parts: ReadonlyArray<unknown>): string => createHash("sha256").update(JSON.stringify(parts)).digest("hex")

/** The database may be away for as long as the rest of the run waits for it (layers/postgres). */
const patience = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("2 seconds")]).pipe(
  Schedule.upTo({ duration: Duration.minutes(2) })
)

const isAway = (defect: unknown): boolean => (defect as { readonly _tag?: unknown } | null)?._tag === "PersistenceError"

/** The engine dies of a database that is away; nothing is lost by asking it again. */
const patiently = <A, R>(work: Effect.Effect<A, never, R>): Effect.Effect<A, never, R> =>
  work.pipe(
    Effect.catchDefect((defect) => isAway(defect) ? Effect.fail(defect) : Effect.die(defect)),
    Effect.retry(patience),
    Effect.orDie
  )

export type Asking = <A, E, R>(
  question: string,
  work: (asked: { readonly key: string; readonly life: number }) => Effect.Effect<Result<A, E>, never, R>
) => Effect.Effect<A, E, R>

/** @param life grows each time that an optimizer begins */
export const makeAsking = (life: number): Asking => {
  /** How often a question was asked in vain, as far as this life knows. */
  const inVain = new Map<string, number>()
  return Effect.fnUntraced(function*(question, work) {
    for (let attempt = inVain.get(question) ?? 0;; attempt++) {
      const result = yield* patiently(work({ key: hashOf(question, attempt), life }))
      if (result._tag === "Done") {
        inVain.delete(question)
        return result.value
      }
      inVain.set(question, attempt + 1)
      if (result.life < life) continue
      const { error } = result
      return yield* isBroken(error) ? Effect.die(new Error(error.message)) : Effect.fail(error)
    }
  })
}

const isBroken = <E>(error: E | { readonly _tag: "WorkBroken"; readonly message: string }): error is { readonly _tag: "WorkBroken"; readonly message: string } =>
  (error as { readonly _tag?: unknown })._tag === "WorkBroken"
