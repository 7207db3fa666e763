/** How old a lesson may get. */
import { Advantage, type Lesson, Preference } from "../domain.ts"

export interface StalenessOptions {
  /** Versions, >= 0: older lessons are dropped. */
  readonly maxStaleness: number
  /** In (0, 1]; a lesson of age a has its weight multiplied by `staleWeight ** a`. 1 treats all alike. */
  readonly staleWeight: number
}

/** The policy versions that a lesson's candidates were drawn from. */
const drawnFrom = (lesson: Lesson): ReadonlyArray<number> =>
  lesson._tag === "Advantage" ? [lesson.candidate.policyVersion] : [lesson.chosen.policyVersion, lesson.rejected.policyVersion]

/** Versions between the oldest one the lesson was drawn from and the one it would train. */
export const ageOf = (lesson: Lesson, version: number): number => version - Math.min(...drawnFrom(lesson))

/** The lesson as it is trained at `version`, or undefined if it is too old, or drawn from a version that is discarded. */
export const admit = (
  lesson: Lesson,
  version: number,
  { maxStaleness, staleWeight }: StalenessOptions,
  discarded: (version: number) => boolean = () => false
): Lesson | undefined => {
  const age = ageOf(lesson, version)
  if (age > maxStaleness || drawnFrom(lesson).some(discarded)) return undefined
  const weight = lesson.weight * staleWeight ** age
  if (age === 0) return lesson
  return lesson._tag === "Advantage" ? new Advantage({ ...lesson, weight }) : new Preference({ ...lesson, weight })
}
