/** Which requirements a picture meets, as a guide model sees it. */
import { Effect } from "effect"
import type { Picture, Prompt } from "../../src/domain.ts"
import type { Check } from "../../src/evaluation/requirements.ts"
import { withJudgeRetry } from "../../src/lessons/decide.ts"
import { checklistQuestion } from "./checklist-rubric.ts"
import type { Guide } from "./guide.ts"
import { reasonOf } from "./reason.ts"

/**
 * Fails with `JudgeStopped` alone: without a usable answer the check says so.
 *
 * @param retries of a question that got no answer; default: a run's
 */
export const checkPicture = (guide: Guide["Service"], prompt: Prompt, requirements: ReadonlyArray<string>, picture: Picture, retries?: number) =>
  guide.ask(checklistQuestion(guide, prompt, requirements, picture)).pipe(
    (call) => withJudgeRetry(call, retries),
    Effect.map(({ requirements: rows }): Check => ({
      outcome: "checked",
      rows: rows.toSorted((a, b) => a.number - b.number).map(({ evidence, met }) => ({ met, evidence: reasonOf(evidence) }))
    })),
    Effect.catchTag(["JudgeBusy", "JudgeRefused"], ({ message }) => Effect.succeed<Check>({ outcome: "unanswered", reason: reasonOf(message) }))
  )
