/**
 * Judgments in Postgres: committed before they are used, and then never asked for again by any process of the run. While one
 * asks, it holds an advisory lock of the question, so another that would ask the same waits for its answer. (If the server
 * starts again meanwhile, the lock is gone, and both may ask.)
 */
import { Effect, Layer, Schedule } from "effect"
import { JudgeStopped } from "../../src/stages/Judge.ts"
import { Judgments } from "../../src/stages/Judgments.ts"
import { decodeVerdicts, encodeVerdicts, keyOf } from "../store/judgments.ts"
import type { PostgresFailed } from "./db.ts"
import { Postgres } from "./postgres.ts"
import { RunPostgres } from "./run-postgres.ts"

const stopped = <A>(work: Effect.Effect<A, PostgresFailed>) => Effect.mapError(work, ({ message }) => new JudgeStopped({ message }))

const place = "hashtextextended($1, $2)"

/** An answer is stored even if nobody waits for it any more. */
export const layer = Layer.effect(
  Judgments,
  Effect.gen(function*() {
    const { patiently, soleSession } = yield* Postgres
    const { read, run, transaction } = yield* RunPostgres
    const session = yield* Effect.orDie(soleSession)
    const onSession = (statement: string, key: string) =>
      stopped(patiently(session.use((connection) => connection.query(statement, [key, run]))))
    const lock = (key: string) =>
      onSession(`SELECT pg_try_advisory_lock(${place}) AS held`, key).pipe(
        Effect.repeat({ until: ({ rows }) => rows[0]!["held"] === true, schedule: Schedule.spaced("100 millis") })
      )
    const unlock = (key: string) => Effect.ignore(onSession(`SELECT pg_advisory_unlock(${place}) AS held`, key))
    const stored = (key: string) =>
      Effect.map(
        stopped(read(({ rows }) => rows("SELECT verdicts FROM judgments WHERE run = $1 AND key = $2", [run, key]))),
        ([row]) => row === undefined ? undefined : decodeVerdicts(row["verdicts"])
      )
    return {
      once: Effect.fn("Judgments.once")((asked, ask) =>
        Effect.gen(function*() {
          const key = keyOf(asked)
          const known = yield* stored(key)
          if (known !== undefined) return known
          const askAndStore = Effect.uninterruptibleMask((restore) =>
            Effect.tap(restore(ask), (verdicts) =>
              stopped(transaction(({ insert }) =>
                insert("judgments", [{
                  run, key, step: asked.step, prompt_id: asked.prompt.id, shown: JSON.stringify(asked.shown), judge: asked.judge,
                  verdicts: encodeVerdicts(verdicts), failed: verdicts.some(({ outcome }) => outcome === "failed")
                }])))))
          // Another process may have stored it while this one waited.
          const inTurn = Effect.filterOrElse(stored(key), (known) => known !== undefined, () => askAndStore)
          return yield* Effect.uninterruptibleMask((restore) =>
            Effect.andThen(restore(lock(key)), Effect.ensuring(restore(inTurn), unlock(key))))
        }))
    }
  })
)
