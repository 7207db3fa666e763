/** Judgments in the run's database: committed before they are used, and then never asked for again. */
import { createHash } from "node:crypto"
import { Effect, Layer, Schema } from "effect"
import { Verdict } from "../../src/domain.ts"
import { JudgeStopped } from "../../src/stages/Judge.ts"
import { type Asked, Judgments } from "../../src/stages/Judgments.ts"
import { RunDatabase, type RunDatabaseFailed } from "./run-database.ts"

const Verdicts = Schema.fromJsonString(Schema.Array(Verdict))
/** Verdicts as they are stored. */
export const encodeVerdicts = Schema.encodeSync(Verdicts)
export const decodeVerdicts = Schema.decodeUnknownSync(Verdicts)

/** A hash of all that a judgment depends on, hex. */
export const keyOf = ({ bare, judge, prompt, shown, step }: Asked): string =>
  createHash("sha256").update(JSON.stringify([step, prompt.id, prompt.text, judge, shown, bare])).digest("hex")

const stopped = <A>(work: Effect.Effect<A, RunDatabaseFailed>) =>
  Effect.mapError(work, ({ message }) => new JudgeStopped({ message }))

/** An answer is stored even if nobody waits for it any more. */
export const layer = Layer.effect(
  Judgments,
  Effect.gen(function*() {
    const { read, together } = yield* RunDatabase
    return {
      once: Effect.fn("Judgments.once")((asked, ask) =>
        Effect.gen(function*() {
          const key = keyOf(asked)
          const known = yield* stopped(read((db) => db.prepare("SELECT verdicts FROM judgments WHERE key = ?").get(key)))
          if (known !== undefined) return decodeVerdicts(known["verdicts"])
          return yield* Effect.uninterruptibleMask((restore) =>
            Effect.tap(restore(ask), (verdicts) =>
              stopped(together((db) =>
                void db.prepare("INSERT INTO judgments VALUES (?, ?, ?, ?, ?, ?)")
                  .run(key, asked.step, asked.prompt.id, JSON.stringify(asked.shown), asked.judge, encodeVerdicts(verdicts))))))
        }))
    }
  })
)
