/** Refines the prompts of a file, and goes on where an earlier process stopped. */
import { Effect } from "effect"
import { besideOf } from "../../refine/beside.ts"
import { refine, type RefineOptions } from "../../refine/loop.ts"
import { recordOf, RefineRecord } from "../../refine/record.ts"
import { Critic } from "../../stages/Critic.ts"
import { Judge } from "../../stages/Judge.ts"
import { type PromptWork, recordPrompts } from "./prompt-records.ts"

/** A key of refinement.json, by which the folder is known to be a refinement's. */
export const marker = "vequinox_refinement"
export const resultFile = "refinement.json"

export interface RefineRun extends PromptWork {
  readonly options: RefineOptions
  /** Whether as many drawings as the same tokens give are drawn beside; a judge that costs money or time is not asked. */
  readonly beside: boolean
  /** All that the records depend on besides: model and adapter. */
  readonly facts: unknown
}

/** The records of all prompts, in their order. */
export const runRefine = Effect.fn("runRefine")(function*({ beside, facts, options, ...work }: RefineRun) {
  const judge = yield* Judge
  const critic = yield* Critic
  const { policy: _, ...told } = options
  const { key, records } = yield* recordPrompts({
    ...work,
    row: RefineRecord,
    file: resultFile,
    marker,
    facts: [facts, told, beside, judge.identity, critic.identity],
    words: { what: "refinement", done: "refined" },
    batch: Effect.fnUntraced(function*(prompts, names, progress, from) {
      const refined = yield* refine(options, prompts, (round) => progress.tick(from, `round ${round}`))
      const rivals = beside && judge.free === true ? yield* besideOf(options, refined) : undefined
      return refined.map((of, n) => recordOf(names[n]!, of, rivals?.[n]))
    }),
    told: (records) => `${records.filter(({ best }) => best > 0).length} better than their drafts`
  })
  return { records, key, judge: judge.name, critic: critic.name }
})
