/**
 * A judge that gives no usable answer any more: said while it happens, and the end of the run where it goes on. Pairs that the
 * gate decided do not count, one answer begins the count anew, and a resumed run goes on counting from its last report.
 */
import { Effect } from "effect"
import type { JudgedPair } from "../domain.ts"
import { JudgeStopped } from "../stages/Judge.ts"
import { Judgments } from "../stages/Judgments.ts"

/** Failed judgments in a row that stop a run, of three prompts at least: some prompts are refused whatever is drawn. */
export const mostFailures = 12
const leastPrompts = 3
/** In a row: said of a judge that has never answered, and of one that has. */
const [few, several] = [3, 8]

/** Name in metrics.jsonl; left out at 0. */
export const failedInARow = "judge/failed_in_a_row"

/** Failed judgments since the last answer, after these pairs in their order. @param before how many there were */
export const failuresAfter = (before: number, pairs: ReadonlyArray<JudgedPair>): number =>
  pairs.reduce((row, { verdict: { by, outcome } }) => (by === "gate" ? row : outcome === "failed" ? row + 1 : 0), before)

export interface JudgeWatchOptions {
  /** Failed judgments in a row before this process. */
  readonly before: number
  /** Prompts of the run. */
  readonly prompts: number
  readonly note: (line: string) => Effect.Effect<void>
}

/** The judgments that the run already has, watched as they come to rest, stored ones too; and whether they have ended it. */
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
    reason = said ?? reason // of several verdicts at once only the first says it
    if (row === (answered ? several : few)) {
      yield* note(`The judge gave no usable answer to ${row} questions in a row, last because ${reason}; at ${mostFailures} the run stops.`)
    }
    if (row < mostFailures || failing.size < Math.min(leastPrompts, prompts)) return
    stopped = true
    return yield* new JudgeStopped({
      message: `The judge gave no usable answer to ${row} questions in a row, last because ${reason}: set that right, then resume the run.`
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
