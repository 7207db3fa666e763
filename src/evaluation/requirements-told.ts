/** How an evaluation's requirements are written: in its result, and on the terminal. */
import { changeIn } from "./figures.ts"
import type { Check, RequirementsChecked } from "./requirements.ts"
import type { Asked } from "./standing.ts"
import { percent } from "./statistics.ts"

const drawingOf = (policy: string, check: Check) =>
  check.outcome === "checked"
    ? { policy, outcome: check.outcome, met: check.rows.map(({ met }) => met), evidence: check.rows.map(({ evidence }) => evidence) }
    : { policy, ...check }

/** What evaluation.json has of every prompt: which requirements each policy's drawing meets. */
export const requirementsResult = (asked: ReadonlyArray<Asked>, names: ReadonlyArray<string>, { checks, costUsd, guide, measures }: RequirementsChecked) => ({
  guide,
  costUsd,
  unanswered: measures.reduce((sum, { unanswered }) => sum + unanswered, 0),
  prompts: asked.map(({ category, prompt, requirements }, n) => ({
    prompt: prompt.text,
    category,
    requirements,
    drawings: names.map((name, p) => drawingOf(name, checks[p]![n]!))
  }))
})

export const requirementTable = (names: ReadonlyArray<string>, { costUsd, guide, measures }: RequirementsChecked): ReadonlyArray<string> => {
  const width = Math.max(6, ...names.map(({ length }) => length))
  const row = (cells: ReadonlyArray<string>) => cells.join("  ").trimEnd()
  const change = `minus ${names[0]!}, 95 %`.padEnd(21)
  const unanswered = measures.reduce((sum, { unanswered }) => sum + unanswered, 0)
  return [
    row(["policy".padEnd(width), "requirements met", change, "of what renders", change]),
    ...measures.map(({ against, all, rendered, renders }, p) =>
      row([
        names[p]!.padEnd(width),
        percent(all).padStart(16),
        changeIn("right", against?.all ?? null).padEnd(21),
        (renders === 0 ? "" : percent(rendered)).padStart(15),
        changeIn("right", against?.rendered ?? null)
      ])),
    `Checked by ${guide}${costUsd > 0 ? ` for $${costUsd.toFixed(4)}` : ""}; a drawing that does not render meets nothing.`,
    ...unanswered === 0 ? [] : [
      unanswered === 1
        ? "1 drawing got no usable answer and counts nowhere: the same command asks about it again."
        : `${unanswered} drawings got no usable answer and count nowhere: the same command asks about them again.`
    ]
  ]
}
