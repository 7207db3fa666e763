/** Where verdicts become lessons: what a step's optimizer learns from. */
import type { JudgedPair, Lesson } from "../domain.ts"
import { advantages } from "./advantage.ts"
import type { LessonOptions } from "./options.ts"
import { selectPreferences } from "./select.ts"
import { weighted } from "./weigh.ts"

/**
 * The lessons of one step, prompt by prompt.
 *
 * @param groups the judged pairs of each prompt
 */
export const lessonsOf = (options: LessonOptions, groups: ReadonlyArray<ReadonlyArray<JudgedPair>>): ReadonlyArray<Lesson> => {
  switch (options.lessons) {
    case "preferences":
      return weighted(options, groups.map((pairs) => ({ pairs, preferences: selectPreferences(options, pairs) })))
    case "advantages":
      return advantages(options, groups)
  }
}
