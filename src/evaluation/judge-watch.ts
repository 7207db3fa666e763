/**
 * Watches for a judge that no longer gives usable answers: warns while it happens, and stops the run if it continues.
 * Pairs that the gate decided do not count, one answer resets the count, and a resumed run continues the count of its
 * last report.
 */
import { Effect } from "effect"
import type { JudgedPair } from "../domain.ts"
import { JudgeStopped } from "../stages/Judge.ts"
import { Judgments } from "../stages/Judgments.ts"

/**
 * Failed judgments in a row that stop a run; they must come from at least three prompts, since some prompts are refused
 * no matter what is drawn.
 */
export const mostFailures = 12
const leastPrompts = 3
/** After how many in a row it warns: for a judge that has never answered, and for one that has. */
const [few, several] = [3, 8]

/** Name in metrics.jsonl; left out at 0. */
export const failedInARow = "judge/failed_in_a_row"

/**
 * Failed judgments since the last answer, after these pairs in their order.
 * @param before the number before these pairs
 */
export const failuresAfter = (before: number, pairs: ReadonlyArray<JudgedPair>): number =>
  pairs.reduce((row, { verdict: { by, outcome } }) => (by === "gate" ? row : outcome === "failed" ? row + 1 : 0), before)

export interface JudgeWatchOptions {
  /** Failed judgments in a row before this process. */
  readonly before: number
  /** Prompts of the run. */
  readonly prompts: number
  readonly note: (line: string) => Effect.Effect<void>
}

/** Watches the run's judgments as they are stored, earlier ones too; `stopped` says whether they have ended the run. */
export const watchJudge = Effect.fnUntraced(function*({ before, note, prompts }: JudgeWatchOptions) {
  const judgments = yield* Judgments
  const failing = new Set<string>()
  let row = before
  let answered = false
  let stopped = false
  let reason = "it did not say why"
  const failed = Effect.fnUntraced(function*(prompt: string, said: string | undefined) {
    failing.add(prompt)
    row++
    reason = said ?? reason // of several verdicts at once only the first says why
    if (row === (answered ? several : few)) {
      yield* note(`The judge gave no usable answer to ${row} questions in a row, last because ${reason}; at ${mostFailures} the run stops.`)
    }
    if (row < mostFailures || failing.size < Math.min(leastPrompts, prompts)) return
    stopped = true
    return yield* new JudgeStopped({
      message: `The judge gave no usable answer to ${row} questions in a row, last because ${reason}: fix that, then resume the run.`
    })
  })
  const watched: typeof judgments = {
    once: (asked, ask) =>
      Effect.tap(judgments.once(asked, ask), (verdicts) =>
        Effect.forEach(verdicts, ({ outcome, reason }) => {
          if (outcome === "failed") return failed(asked.prompt.id, reason)
          failing.clear()
          row = 0
          answered = true
          return Effect.void
        }, { discard: true }))
  }
  return { watched, stopped: Effect.sync(() => stopped) }
})
