/**
 * What evaluations decide: which step is the best, when training ends, and when a curriculum goes on. Pure, and small
 * enough to stand in a state (sft-state.ts).
 */
import { Schema } from "effect"
import type { SftRules } from "./sft-rules.ts"

export const Watched = Schema.Struct({
  /** For each stage that has begun, the steps made before it. */
  starts: Schema.Array(Schema.Int),
  /** The evaluation with the lowest `eval_loss`. */
  best: Schema.optionalKey(Schema.Struct({ step: Schema.Int, loss: Schema.Finite })),
  /** Evaluations since then, in the last stage. */
  without: Schema.Int,
  /** Lowest loss on the stage's own held-out rows since it began, nats a token. */
  stageLoss: Schema.optionalKey(Schema.Finite)
})
export type Watched = typeof Watched.Type

export const unwatched: Watched = { starts: [0], without: 0 }

/** Losses of an evaluation, nats a token. */
export interface Evaluated {
  readonly loss: number
  /** On the held-out rows that the current stage brings; undefined if there are none. */
  readonly stageLoss: number | undefined
}

type Rules = Pick<SftRules, "patience" | "stageImprovement" | "stages"> & { readonly steps: number }

const inLastStage = ({ starts }: Watched, { stages }: Rules): boolean => starts.length === stages

/** From 0: the stage of the step after `made` steps. */
export const stageAfter = ({ starts }: Watched, made: number): number => starts.findLastIndex((start) => start <= made)

/** Patience counts in the last stage alone: before that, harder rows may grow worse while simple ones are learnt. */
export const isOver = (watched: Watched, rules: Rules): boolean =>
  rules.patience > 0 && inLastStage(watched, rules) && watched.without >= rules.patience

const withBest = (watched: Watched, step: number, { loss }: Evaluated, rules: Rules): Watched => {
  if (loss < (watched.best?.loss ?? Infinity)) return { ...watched, best: { step, loss }, without: 0 }
  return { ...watched, without: inLastStage(watched, rules) ? watched.without + 1 : 0 }
}

/** After `step` steps, the last of which was perhaps followed by an evaluation. */
export const watch = (before: Watched, step: number, evaluated: Evaluated | undefined, rules: Rules): Watched => {
  const after = evaluated === undefined ? before : withBest(before, step, evaluated, rules)
  if (inLastStage(after, rules)) return after
  const { stageLoss: lowest, ...rest } = after
  const loss = evaluated?.stageLoss
  const flat = loss !== undefined && lowest !== undefined && loss > lowest * (1 - rules.stageImprovement)
  const share = step - after.starts.at(-1)! >= Math.floor(rules.steps / rules.stages)
  if (flat || share) return { ...rest, starts: [...after.starts, step] }
  return loss === undefined || lowest !== undefined && lowest <= loss ? after : { ...after, stageLoss: loss }
}
