/** From lessons to a batch, for optimizers of a model's tokens. */
import { Effect } from "effect"
import type { Candidate, Lesson } from "../../src/domain.ts"
import type { Example, Objective } from "../../src/objectives/objective.ts"
import { type ChosenObjective, lossTypeText, objectiveOf } from "../../src/objectives/objectives.ts"
import { OptimizerFailed } from "../../src/stages/Optimizer.ts"
import type { Batch } from "../onnx/trainer-batches.ts"

/** Those with a weight. Fails with `OptimizerFailed` if the objective learns from others. */
export const weighed = Effect.fnUntraced(function*(lessons: ReadonlyArray<Lesson>, objective: ChosenObjective) {
  const wanted = objectiveOf(objective).learnsFrom === "advantages" ? "Advantage" : "Preference"
  const odd = lessons.find(({ _tag }) => _tag !== wanted)
  if (odd !== undefined) {
    return yield* new OptimizerFailed({ message: `${lossTypeText(objective.lossType)} learns from lessons of the kind ${wanted}, not ${odd._tag}` })
  }
  return lessons.filter(({ weight }) => weight > 0)
})

/** Computes a candidate that several lessons share only once, and none that the objective does not read. */
export const batchOf = (lessons: ReadonlyArray<Lesson>, { chosenOnly }: Pick<Objective, "chosenOnly">): Batch => {
  const places = new Map<string, number>()
  const sequences: Array<Batch["sequences"][number]> = []
  const place = ({ completionIds, index, prompt, promptIds, step }: Candidate): number => {
    const key = `${step} ${prompt.id} ${index}`
    const known = places.get(key)
    if (known !== undefined) return known
    places.set(key, sequences.length)
    return sequences.push({ ids: [...promptIds, ...completionIds], promptLength: promptIds.length }) - 1
  }
  const examples = lessons.map((lesson): Example =>
    lesson._tag === "Advantage"
      ? { members: [place(lesson.candidate)], signal: lesson.advantage, weight: lesson.weight, drawn: lesson.candidate.drawnLogps ?? lesson.candidate.logps }
      : { members: chosenOnly === true ? [place(lesson.chosen)] : [place(lesson.chosen), place(lesson.rejected)], signal: lesson.label, weight: lesson.weight }
  )
  return { sequences, examples }
}
