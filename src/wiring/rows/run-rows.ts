/** Draws, judges and criticises prompts, a batch at a time, and goes on where an earlier process stopped. */
import { createHash } from "node:crypto"
import * as path from "node:path"
import { Effect } from "effect"
import type { Prompt } from "../../domain.ts"
import { JudgedPrompt, judgePrompts, type JudgeOptions } from "../../rows/judged-prompt.ts"
import { Critic } from "../../stages/Critic.ts"
import { Judge } from "../../stages/Judge.ts"
import type { PolicySnapshot } from "../../stages/Policy.ts"
import { Sampler } from "../../stages/Sampler.ts"
import { BadInput } from "../../system/errors.ts"
import { openJournal } from "../../system/journal.ts"
import { openOwnFolder } from "../../system/own-folder.ts"
import { makeProgress, type ProgressStyle } from "../../system/progress.ts"

/** A key of rows.json, by which the folder is known to be made of rows. */
export const marker = "vequinox_rows"
export const resultFile = "rows.json"

const together = 32
/** No training step has this number. */
const rowsStep = -5

export interface RowsRun extends JudgeOptions {
  readonly out: string
  readonly prompts: ReadonlyArray<Prompt>
  /** Names of their files, in the same order. */
  readonly names: ReadonlyArray<string>
  readonly policy: PolicySnapshot
  /** Drawings a prompt, >= 2. */
  readonly k: number
  readonly temperature: number
  /** All that the drawings depend on besides. */
  readonly facts: unknown
  readonly style: ProgressStyle
}

/** The records of all prompts, in their order. */
export const runRows = Effect.fn("runRows")(function*({ drafts, facts, k, names, out, policy, prompts, seed, style, temperature }: RowsRun) {
  const judge = yield* Judge
  const critic = yield* Critic
  const key = createHash("sha256")
    .update(JSON.stringify([facts, drafts, k, seed, temperature, names, prompts.map(({ text }) => text), judge.identity, critic.identity]))
    .digest("hex")
  yield* openOwnFolder({ out, file: resultFile, marker, key, what: "set of rows" })
  const journal = yield* openJournal(path.join(out, "records.jsonl"), JudgedPrompt, "a judged prompt")
  const records = [...journal.rows]
  const foreign = records.findIndex(({ id, prompt }, n) => id !== names[n] || prompt.text !== prompts[n]!.text)
  if (foreign >= 0) return yield* new BadInput({ message: `${path.join(out, "records.jsonl")}, line ${foreign + 1}, is of another prompt: choose another --out.` })
  const progress = yield* makeProgress(style, "prompt", prompts.length, records.length)
  if (records.length > 0) yield* progress.note(`${records.length} of ${prompts.length} prompts are already judged.`)
  const stopped = Effect.suspend(() =>
    progress.note(`Stopped after ${records.length} of ${prompts.length} prompts: the same command goes on, and paid answers are read again.`))
  yield* Effect.gen(function*() {
    const sampler = yield* Sampler
    while (records.length < prompts.length) {
      const from = records.length
      const batch = prompts.slice(from, from + together)
      const groups = yield* sampler.sample({ step: rowsStep, prompts: batch, k, seed, policy, temperature })
      for (const record of yield* judgePrompts({ drafts, seed }, names.slice(from, from + together), groups)) {
        yield* journal.append(record)
        records.push(record)
      }
      yield* progress.tick(records.length, `${records.filter(({ best }) => best !== null).length} with a best drawing`)
    }
  }).pipe(Effect.onError(() => stopped))
  yield* progress.end
  return { records: records as ReadonlyArray<JudgedPrompt>, key, judge: judge.name, critic: critic.name }
}, Effect.scoped)
