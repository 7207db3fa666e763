/** Refines the prompts of a file, a batch at a time, and goes on where an earlier process stopped. */
import { createHash } from "node:crypto"
import * as path from "node:path"
import { Effect } from "effect"
import type { Prompt } from "../../domain.ts"
import { besideOf } from "../../refine/beside.ts"
import { refine, type RefineOptions } from "../../refine/loop.ts"
import { recordOf, RefineRecord } from "../../refine/record.ts"
import { Critic } from "../../stages/Critic.ts"
import { Judge } from "../../stages/Judge.ts"
import { BadInput } from "../../system/errors.ts"
import { openJournal } from "../../system/journal.ts"
import { openOwnFolder } from "../../system/own-folder.ts"
import { makeProgress, type ProgressStyle } from "../../system/progress.ts"

/** A key of refinement.json, by which the folder is known to be a refinement's. */
export const marker = "vequinox_refinement"
export const resultFile = "refinement.json"

/** Prompts that go through each round together. */
const together = 32

export interface RefineRun {
  readonly out: string
  readonly prompts: ReadonlyArray<Prompt>
  /** Names of their files, in the same order. */
  readonly names: ReadonlyArray<string>
  readonly options: RefineOptions
  /** Whether as many drawings as the same tokens give are drawn beside; a judge that costs money or time is not asked. */
  readonly beside: boolean
  /** All that the records depend on besides: model, adapter, critic, judge and the options. */
  readonly facts: unknown
  readonly style: ProgressStyle
}

/** The records of all prompts, in their order. */
export const runRefine = Effect.fn("runRefine")(function*({ beside, facts, names, options, out, prompts, style }: RefineRun) {
  const judge = yield* Judge
  const critic = yield* Critic
  const { policy: _, ...told } = options
  const key = createHash("sha256").update(JSON.stringify([facts, told, beside, names, prompts.map(({ text }) => text), judge.identity, critic.identity])).digest("hex")
  yield* openOwnFolder({ out, file: resultFile, marker, key, what: "refinement" })
  const journal = yield* openJournal(path.join(out, "records.jsonl"), RefineRecord, "a refined prompt")
  const records = [...journal.rows]
  const foreign = records.findIndex(({ id, prompt }, n) => id !== names[n] || prompt.text !== prompts[n]!.text)
  if (foreign >= 0) return yield* new BadInput({ message: `${path.join(out, "records.jsonl")}, line ${foreign + 1}, is of another prompt: choose another --out.` })
  const progress = yield* makeProgress(style, "prompt", prompts.length, records.length)
  if (records.length > 0) yield* progress.note(`${records.length} of ${prompts.length} prompts are already refined.`)
  const stopped = () => progress.note(`Stopped after ${records.length} of ${prompts.length} prompts: the same command goes on, and paid answers are read again.`)
  yield* Effect.gen(function*() {
    while (records.length < prompts.length) {
      const from = records.length
      const batch = prompts.slice(from, from + together)
      const refined = yield* refine(options, batch, (round) => progress.tick(from, `round ${round}`))
      const rivals = beside && judge.free === true ? yield* besideOf(options, refined) : undefined
      for (const [n, of] of refined.entries()) {
        const record = recordOf(names[from + n]!, of, rivals?.[n])
        yield* journal.append(record)
        records.push(record)
      }
      const kept = records.filter(({ best }) => best > 0).length
      yield* progress.tick(records.length, `${kept} better than their drafts`)
    }
  }).pipe(Effect.onError(stopped))
  yield* progress.end
  return { records: records as ReadonlyArray<RefineRecord>, key, judge: judge.name, critic: critic.name }
}, Effect.scoped)
