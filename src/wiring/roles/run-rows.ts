/** Draws, judges and criticises the prompts of a file, and goes on where an earlier process stopped. */
import { Effect } from "effect"
import { JudgedPrompt, judgePrompts, type JudgeOptions } from "../../rows/judged-prompt.ts"
import { Critic } from "../../stages/Critic.ts"
import { Judge } from "../../stages/Judge.ts"
import type { PolicySnapshot } from "../../stages/Policy.ts"
import { Sampler } from "../../stages/Sampler.ts"
import { type PromptWork, recordPrompts } from "./prompt-records.ts"

/** A key of rows.json, by which the folder is known to be made of rows. */
export const marker = "vequinox_rows"
export const resultFile = "rows.json"

/** No training step has this number. */
const rowsStep = -5

export interface RowsRun extends JudgeOptions, PromptWork {
  readonly policy: PolicySnapshot
  /** Drawings a prompt, >= 2. */
  readonly k: number
  readonly temperature: number
  /** All that the drawings depend on besides: model and adapter. */
  readonly facts: unknown
}

/** The records of all prompts, in their order. */
export const runRows = Effect.fn("runRows")(function*({ drafts, facts, k, policy, seed, temperature, ...work }: RowsRun) {
  const judge = yield* Judge
  const critic = yield* Critic
  const { sample } = yield* Sampler
  const { key, records } = yield* recordPrompts({
    ...work,
    row: JudgedPrompt,
    file: resultFile,
    marker,
    facts: [facts, drafts, k, seed, temperature, judge.identity, critic.identity],
    words: { what: "set of rows", done: "judged" },
    batch: (prompts, names) =>
      Effect.flatMap(sample({ step: rowsStep, prompts, k, seed, policy, temperature }), (groups) => judgePrompts({ drafts, seed }, names, groups)),
    told: (records) => `${records.filter(({ best }) => best !== null).length} with a best drawing`
  })
  return { records, key, judge: judge.name, critic: critic.name }
})
