/** The rows of `vequinox sft`, as tokens: those that are trained and those that are measured. */
import { Effect } from "effect"
import type { Sequence } from "../../layers/onnx/sequences.ts"
import type { PolicyTokenizer, PromptFormat } from "../model/tokenizer/tokenizer.ts"
import { tokenizing } from "../model/tokenizer/limits.ts"
import { type Role, roles } from "../roles/roles.ts"
import { complexityOf, drawingOf, stageBounds, stageOf } from "../rows/complexity.ts"
import { isHeldOut, promptKey } from "../rows/hold-out.ts"
import { withPicturesSeen } from "../rows/pictures.ts"
import { readTrainingRows, type TrainingRow } from "../rows/read.ts"
import { tokensOf } from "../rows/tokens.ts"
import { BadInput } from "../system/errors.ts"
import { openSeeing } from "../wiring/see-pictures.ts"
import type { SftRules } from "./sft-rules.ts"

export interface SftRow {
  readonly kind: Role
  /** From 0. */
  readonly stage: number
  readonly sequence: Sequence
}

export interface SftRows {
  readonly trained: ReadonlyArray<SftRow>
  readonly heldOut: ReadonlyArray<SftRow>
  /** Sentences that a user should see. */
  readonly notes: ReadonlyArray<string>
}

type Asked = Pick<SftRules, "complexity" | "evalData" | "evalShare" | "evaluates" | "mix" | "stages"> & {
  readonly data: ReadonlyArray<string>
  readonly maxLength: number
  readonly form: PromptFormat
}

const readAll = Effect.fnUntraced(function*(files: ReadonlyArray<string>, mix: SftRules["mix"]) {
  const see = yield* openSeeing
  const rows = (yield* Effect.forEach(files, readTrainingRows)).flat()
  const wanted = mix === undefined ? rows : rows.filter(({ kind }) => mix.has(kind))
  return yield* Effect.forEach(wanted, (row) => withPicturesSeen(row, see), { concurrency: 8 })
}, Effect.scoped)

const need = (rows: ReadonlyArray<TrainingRow>, what: string) =>
  rows.length > 0 ? Effect.void : Effect.fail(new BadInput({ message: what }))

/** Rows of mixed kinds in files and parts. */
const divided = Effect.fnUntraced(function*({ data, evalData, evalShare, evaluates, mix }: Asked) {
  const given = yield* readAll(data, mix)
  const rows = evalShare > 0 ? given.filter((row) => !isHeldOut(row, evalShare)) : given
  const heldOut = evalShare > 0 ? given.filter((row) => isHeldOut(row, evalShare)) : yield* readAll(evalData, mix)
  const missing = [...mix?.keys() ?? []].find((kind) => !given.some((row) => row.kind === kind))
  if (missing !== undefined) {
    return yield* new BadInput({ message: `--mix gives ${missing} a weight, and ${data.join(", ")} has no such row: leave it out, or add rows.` })
  }
  const prompts = `${new Set(given.map(promptKey)).size} prompts`
  yield* need(rows, `${data.join(", ")}: --eval-share ${evalShare} holds out every row of ${prompts}, so none is left to train on: lower it.`)
  if (evaluates) {
    yield* need(heldOut, evalShare > 0
      ? `${data.join(", ")}: --eval-share ${evalShare} holds out none of ${prompts}: raise it, or give --eval-data.`
      : `${evalData.join(", ")}: no row is of a kind that --mix has, so there is nothing to measure.`)
  }
  return { rows, heldOut }
})

/** Told once, since the policy would be taught to open two drawings. */
const doublyBegun = (rows: ReadonlyArray<TrainingRow>, { prefill }: PromptFormat): ReadonlyArray<string> => {
  if (!/^\s*<svg/.test(prefill)) return []
  const twice = rows.filter(({ answer, kind }) => kind !== "critique" && /^\s*<svg/.test(answer) && !answer.startsWith(prefill)).length
  return twice === 0 ? [] : [`${twice} of ${rows.length} answers begin with another <svg> tag than --prefill, which stands before them all the same: give --prefill= to teach them whole.`]
}

const leaks = (rows: ReadonlyArray<TrainingRow>, heldOut: ReadonlyArray<TrainingRow>): ReadonlyArray<string> => {
  const trained = new Set(rows.map(promptKey))
  const both = heldOut.filter((row) => trained.has(promptKey(row))).length
  return both === 0 ? [] : [`${both} of ${heldOut.length} rows of --eval-data have a prompt that is trained on.`]
}

/** Fails with one sentence, which names file and row where there is one. */
export const openRows = Effect.fnUntraced(function*(tokenizer: PolicyTokenizer, asked: Asked) {
  const { complexity, data, evalData, form, maxLength, stages } = asked
  const { heldOut, rows } = yield* divided(asked)
  const measured = (row: TrainingRow) =>
    tokenizing(() => ({
      kind: row.kind,
      value: stages > 1 ? complexityOf(drawingOf(row), complexity, (text) => tokenizer.encode(text).length) : 0,
      sequence: tokensOf(tokenizer, form, row)
    }))
  const notes: Array<string> = []
  const shortEnough = Effect.fnUntraced(function*(given: ReadonlyArray<TrainingRow>, files: ReadonlyArray<string>, what: string) {
    const whole = yield* Effect.forEach(given, measured)
    const short = whole.filter(({ sequence }) => sequence.ids.length <= maxLength)
    if (short.length === 0 && whole.length > 0) {
      const shortest = whole.reduce((least, { sequence }) => Math.min(least, sequence.ids.length), Infinity)
      return yield* new BadInput({
        message: `${files.join(", ")}: all ${whole.length} rows are longer than --max-length ${maxLength}, so none is left to ${what}; the shortest has ${shortest} tokens.`
      })
    }
    const tooLong = whole.length - short.length
    if (tooLong > 0) notes.push(`${tooLong} of ${whole.length} rows${what === "measure" ? " to measure" : ""} are longer than --max-length ${maxLength} and are left out.`)
    return short
  })
  const trained = yield* shortEnough(rows, data, "train on")
  const held = yield* shortEnough(heldOut, evalData.length > 0 ? evalData : data, "measure")
  for (const kind of asked.mix?.keys() ?? []) {
    if (!trained.some((row) => row.kind === kind)) {
      return yield* new BadInput({ message: `${data.join(", ")}: every ${kind} row is held out or longer than --max-length ${maxLength}, and --mix gives it a weight: leave it out, or change that.` })
    }
  }
  const bounds = stages > 1 ? stageBounds(trained.map(({ value }) => value), stages) : []
  if (bounds === undefined) {
    return yield* new BadInput({
      message: `--curriculum-stages ${stages}: too many of ${trained.length} rows have the same number of ${complexity}, so a stage would bring none: take fewer stages, or another --complexity.`
    })
  }
  const staged = ({ kind, sequence, value }: (typeof trained)[number]): SftRow => ({ kind, sequence, stage: stageOf(value, bounds) })
  const counts = roles.map((kind) => [kind, trained.filter((row) => row.kind === kind).length] as const).filter(([, n]) => n > 0)
  if (counts.length > 1) notes.push(`Rows: ${counts.map(([kind, n]) => `${n} ${kind}`).join(", ")}.`)
  notes.push(...doublyBegun(rows, form), ...leaks(rows, evalData.length > 0 ? heldOut : []))
  return { trained: trained.map(staged), heldOut: held.map(staged), notes } satisfies SftRows as SftRows
})
