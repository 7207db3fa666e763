/** What `vequinox sft` does beside training: evaluates, keeps the best, stops early, goes through stages. From its flags. */
import { Effect, Option } from "effect"
import { Flag } from "effect/cli"
import { complexities } from "../rows/complexity.ts"
import { parseMix } from "../rows/mix.ts"
import { BadInput } from "../system/errors.ts"
import { int, real } from "../system/ranges.ts"
import { numberFlag } from "../wiring/setting-flags.ts"

const text = (name: string, description: string) => Flag.String(name).pipe(Flag.withDescription(description))
const number = (name: string, range: ReturnType<typeof real>, description: string) =>
  numberFlag(name, range).pipe(Flag.withDescription(description))

/** Names of transformers' TrainingArguments and EarlyStoppingCallback where they have one. */
export const ruleFlags = {
  mix: text("mix", "share of each kind of row in the training order, as direct=1,correction=1,critique=0.5; a kind without weight is left out (default: the rows as they are)").pipe(Flag.optional),
  evalData: text("eval-data", "rows that are not trained but measured, in the shapes of --data; may be given several times").pipe(Flag.atLeast(0)),
  evalShare: number("eval-share", real(0, 0.9), "share of the prompts in --data that is held out and measured; all rows of a prompt are on one side").pipe(Flag.withDefault(0)),
  evalSteps: number("eval-steps", int(1, 1e9), "steps between two evaluations (default: 50); the last step is one too").pipe(Flag.optional),
  patience: number("early-stopping-patience", int(0, 1e9), "evaluations in a row without a lower eval_loss after which training ends; 0 never").pipe(Flag.withDefault(0)),
  loadBest: Flag.Boolean("load-best-model-at-end").pipe(
    Flag.withDescription("write the parameters with the lowest eval_loss instead of the last (default: where there are rows to measure)"),
    Flag.optional
  ),
  stages: number("curriculum-stages", int(0, 100), "stages of a curriculum from simple drawings to complex ones; 0 and 1: none").pipe(Flag.withDefault(0)),
  complexity: Flag.Literals("complexity", complexities).pipe(
    Flag.withDescription("what the stages go by: tokens, elements or numbers of the drawing (default: tokens)"),
    Flag.optional
  ),
  stageImprovement: number("stage-improvement", real(0, 1), "share by which an evaluation must lower the loss on its stage's held-out rows for the stage to last (default: 0.01)").pipe(Flag.optional)
}

interface Given {
  readonly mix: Option.Option<string>
  readonly evalData: ReadonlyArray<string>
  readonly evalShare: number
  readonly evalSteps: Option.Option<number>
  readonly patience: number
  readonly loadBest: Option.Option<boolean>
  readonly stages: number
  readonly complexity: Option.Option<typeof complexities[number]>
  readonly stageImprovement: Option.Option<number>
}

/** Flags in full. Fails with `BadInput` where one would mean nothing. */
export const rulesOf = Effect.fnUntraced(function*(o: Given, steps: number) {
  const evaluates = o.evalData.length > 0 || o.evalShare > 0
  const staged = o.stages > 1
  const needing = (flag: string, given: boolean, needs: string, there: boolean) => given && !there ? [`${flag} means nothing without ${needs}`] : []
  const wrong = [
    ...needing("--eval-steps", Option.isSome(o.evalSteps), "--eval-data or --eval-share", evaluates),
    ...needing("--early-stopping-patience", o.patience > 0, "--eval-data or --eval-share", evaluates),
    ...needing("--load-best-model-at-end", Option.contains(o.loadBest, true), "--eval-data or --eval-share", evaluates),
    ...needing("--complexity", Option.isSome(o.complexity), "--curriculum-stages 2 or more", staged),
    ...needing("--stage-improvement", Option.isSome(o.stageImprovement), "--curriculum-stages 2 or more", staged),
    ...needing("--stage-improvement", Option.isSome(o.stageImprovement), "--eval-data or --eval-share", evaluates)
  ]
  if (wrong.length > 0) return yield* new BadInput({ message: `${wrong[0]}: give that too, or leave it out.` })
  if (o.evalData.length > 0 && o.evalShare > 0) {
    return yield* new BadInput({ message: "--eval-data and --eval-share both say which rows are measured: give one of them." })
  }
  if (o.stages > steps) {
    return yield* new BadInput({ message: `--curriculum-stages ${o.stages} are more than --steps ${steps}: take fewer.` })
  }
  const mix = Option.map(o.mix, parseMix)
  if (Option.isSome(mix) && mix.value === undefined) {
    return yield* new BadInput({ message: `--mix is ${Option.getOrElse(o.mix, () => "")}: Expected kinds with weights of 0 or more, as direct=1,correction=1,critique=0.5.` })
  }
  return {
    mix: Option.getOrUndefined(mix),
    evalData: o.evalData,
    evalShare: o.evalShare,
    evaluates,
    /** Whether the best parameters are kept and written. */
    loadBest: Option.getOrElse(o.loadBest, () => evaluates),
    evalSteps: Option.getOrElse(o.evalSteps, () => 50),
    patience: o.patience,
    /** 1: no curriculum. */
    stages: Math.max(1, o.stages),
    complexity: Option.getOrElse(o.complexity, () => complexities[0]),
    stageImprovement: Option.getOrElse(o.stageImprovement, () => 0.01)
  }
})

export type SftRules = Effect.Success<ReturnType<typeof rulesOf>>

/** Those that are in force, for training.json and for the hash of a state. */
export const inForce = ({ complexity, evalData, evalShare, evalSteps, evaluates, loadBest, mix, patience, stageImprovement, stages }: SftRules) => ({
  ...mix !== undefined && { mix: Object.fromEntries(mix) },
  ...evaluates && { evalData, evalShare, evalSteps, patience, loadBest },
  ...stages > 1 && { stages, complexity, stageImprovement }
})
