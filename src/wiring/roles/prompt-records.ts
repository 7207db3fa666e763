/** Long work on the prompts of a file: a batch at a time, each prompt a line of records.jsonl, from which it goes on. */
import { createHash } from "node:crypto"
import * as path from "node:path"
import { Effect, type Schema } from "effect"
import type { Prompt } from "../../domain.ts"
import { BadInput } from "../../system/errors.ts"
import { openJournal } from "../../system/journal.ts"
import { openOwnFolder } from "../../system/own-folder.ts"
import { makeProgress, type Progress, type ProgressStyle } from "../../system/progress.ts"

/** Prompts of a batch. */
const together = 32

export interface PromptWork {
  readonly out: string
  readonly prompts: ReadonlyArray<Prompt>
  /** Names of their files, in the same order. */
  readonly names: ReadonlyArray<string>
  readonly style: ProgressStyle
}

export interface RecordedPrompt {
  readonly id: string
  readonly prompt: Prompt
}

export interface PromptRecords<A extends RecordedPrompt, E, R> extends PromptWork {
  readonly row: Schema.Codec<A, unknown>
  /** The file of the result, and the key in it by which the folder is known. */
  readonly file: string
  readonly marker: string
  /** All that the records depend on besides the prompts and their names. */
  readonly facts: unknown
  /** For people: what the folder holds, and what was done to a prompt. `refinement`, `refined`. */
  readonly words: { readonly what: string; readonly done: string }
  /** The records of some prompts, in their order. @param from how many were done before */
  readonly batch: (prompts: ReadonlyArray<Prompt>, names: ReadonlyArray<string>, progress: Progress, from: number) => Effect.Effect<ReadonlyArray<A>, E, R>
  /** What progress says of all records so far. */
  readonly told: (records: ReadonlyArray<A>) => string
}

/**
 * The records of all prompts, in their order, and the folder's key. The folder is new, empty, or of the same facts and
 * prompts: then it goes on after those that have a record.
 */
export const recordPrompts = Effect.fn("recordPrompts")(function*<A extends RecordedPrompt, E, R>(o: PromptRecords<A, E, R>) {
  const { file, marker, names, out, prompts, words } = o
  const key = createHash("sha256").update(JSON.stringify([o.facts, names, prompts.map(({ text }) => text)])).digest("hex")
  yield* openOwnFolder({ out, file, marker, key, what: words.what })
  const lines = path.join(out, "records.jsonl")
  const journal = yield* openJournal(lines, o.row, `a ${words.done} prompt`)
  const records = [...journal.rows]
  const foreign = records.findIndex(({ id, prompt }, n) => id !== names[n] || prompt.text !== prompts[n]!.text)
  if (foreign >= 0) return yield* new BadInput({ message: `${lines}, line ${foreign + 1}, is of another prompt: choose another --out.` })
  const progress = yield* makeProgress(o.style, "prompt", prompts.length, records.length)
  if (records.length > 0) yield* progress.note(`${records.length} of ${prompts.length} prompts are already ${words.done}.`)
  const stopped = () => progress.note(`Stopped after ${records.length} of ${prompts.length} prompts: the same command goes on, and paid answers are read again.`)
  yield* Effect.gen(function*() {
    while (records.length < prompts.length) {
      const from = records.length
      const [some, theirs] = [prompts, names].map((all) => all.slice(from, from + together)) as [Array<Prompt>, Array<string>]
      for (const record of yield* o.batch(some, theirs, progress, from)) {
        yield* journal.append(record)
        records.push(record)
      }
      yield* progress.tick(records.length, o.told(records))
    }
  }).pipe(Effect.onError(stopped))
  yield* progress.end
  return { key, records: records as ReadonlyArray<A> }
}, Effect.scoped)
