/** What is kept of a refined prompt: a line of records.jsonl, from which everything that is told of it can be made again. */
import { Schema } from "effect"
import { Prompt, Verdict } from "../domain.ts"
import { outcomeOf } from "../evaluation/drawings.ts"
import { Critique } from "../roles/roles.ts"
import type { Refined, Round, Version } from "./loop.ts"

const Drawing = Schema.Struct({
  svg: Schema.String,
  /** `rendered`, or why not. */
  outcome: Schema.String,
  tokens: Schema.Int,
  nats: Schema.Finite
})
export type RecordedDrawing = typeof Drawing.Type

export const RefineRecord = Schema.Struct({
  /** Name of its files. */
  id: Schema.String,
  prompt: Prompt,
  ended: Schema.Literals(["threshold", "patience", "rounds"]),
  /** The round whose drawing was kept last; 0 is the draft. */
  best: Schema.Int,
  draft: Drawing,
  rounds: Schema.Array(Schema.Struct({
    /** What the critic said of the drawing that was best before. */
    critique: Schema.NullOr(Critique),
    critiqueTokens: Schema.Int,
    drawing: Schema.NullOr(Drawing),
    /** Against the best so far, then against the draft; A is this round's drawing. */
    verdicts: Schema.Array(Verdict),
    kept: Schema.Boolean,
    problem: Schema.NullOr(Schema.String)
  })),
  /** The critic's last word. */
  critique: Schema.NullOr(Critique),
  /** All tokens that the policy drew. */
  tokens: Schema.Int,
  costUsd: Schema.Finite,
  /** As many drawings of the prompt as the same tokens give, and which of them the judge likes best. */
  beside: Schema.NullOr(Schema.Struct({ drawings: Schema.Array(Drawing), champion: Schema.Int }))
})
export type RefineRecord = typeof RefineRecord.Type

const recorded = ({ nats, rendering, svg, tokens }: Version): RecordedDrawing => ({
  svg,
  outcome: outcomeOf(rendering),
  tokens,
  nats
})

const roundOf = ({ kept, problem, told, verdicts, version }: Round): RefineRecord["rounds"][number] => ({
  critique: told.critique ?? null,
  critiqueTokens: told.tokens,
  drawing: version === undefined ? null : recorded(version),
  verdicts,
  kept,
  problem: problem ?? null
})

export interface Beside {
  readonly drawings: ReadonlyArray<Version>
  readonly champion: number
}

export const recordOf = (id: string, of: Refined, beside: Beside | undefined): RefineRecord => ({
  id,
  prompt: of.prompt,
  ended: of.ended,
  best: of.rounds.findLastIndex(({ kept }) => kept) + 1,
  draft: recorded(of.draft),
  rounds: of.rounds.map(roundOf),
  critique: of.critique ?? null,
  tokens: of.tokens,
  costUsd: of.costUsd,
  beside: beside === undefined ? null : { drawings: beside.drawings.map(recorded), champion: beside.champion }
})

export const bestOf = ({ best, draft, rounds }: RefineRecord): RecordedDrawing => (best === 0 ? draft : rounds[best - 1]!.drawing!)

/** The last correction, kept or not; the draft if none was drawn. */
export const lastOf = ({ draft, rounds }: RefineRecord): RecordedDrawing => rounds.findLast(({ drawing }) => drawing !== null)?.drawing ?? draft

/** A preference in TRL's shape: what was kept is chosen over what it beat, and what lost is rejected. Ties and failures give none. */
export const preferencesOf = ({ draft, prompt, rounds }: RefineRecord) => {
  let best = draft
  return rounds.flatMap(({ drawing, kept, verdicts }) => {
    const before = best
    if (drawing === null) return []
    if (kept) best = drawing
    const outcome = verdicts[0]?.outcome
    if ((outcome !== "A" && outcome !== "B") || drawing.svg === before.svg) return []
    const [chosen, rejected] = outcome === "A" ? [drawing, before] : [before, drawing]
    return [{ prompt: prompt.text, chosen: chosen.svg, rejected: rejected.svg }]
  })
}
