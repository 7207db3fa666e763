/** The steps of `vequinox sft`: order, updates, evaluations, states, and what is told of them. */
import { Console, Effect } from "effect"
import type { startProgram } from "../../layers/onnx/runtime.ts"
import type { Parameters } from "../engine/weights/tensor.ts"
import { TrainingOrder } from "../rows/order.ts"
import { mostAgain, type Tracking } from "../stages/Tracker.ts"
import { BadInput } from "../system/errors.ts"
import type { Progress } from "../system/progress.ts"
import { evaluationOf } from "./sft-evaluate.ts"
import type { SftRows } from "./sft-rows.ts"
import type { SftRules } from "./sft-rules.ts"
import { type SftState, writeState } from "./sft-state.ts"
import { isOver, stageAfter, unwatched, watch, type Watched } from "./sft-watch.ts"

interface Loop {
  readonly trainer: Effect.Success<ReturnType<typeof startProgram<"trainer">>>
  readonly rows: SftRows
  readonly rules: SftRules
  readonly progress: Progress
  readonly earlier: SftState | undefined
  /** Hash of what decides the numbers, for states. */
  readonly work: string
  readonly tracker: Tracking
  /** Kept in states; undefined where nobody is told anything. */
  readonly trackingId: string | undefined
  readonly o: {
    readonly steps: number
    readonly batchSize: number
    readonly seed: number
    readonly saveSteps: number
    readonly out: string
    readonly json: boolean
  }
}

export interface Trained {
  /** What is written: the best parameters where they are kept, else the last. */
  readonly parameters: Parameters
  readonly curve: SftState["curve"]
  /** Of the last step, nats a token. */
  readonly loss: number
  readonly watched: Watched
  /** Steps made. */
  readonly made: number
}

/** What a line says of an evaluation, for people. */
const told = (metrics: Readonly<Record<string, number>>, { best }: Watched): string =>
  metrics["eval_loss"] === undefined || best === undefined ? "" : `, eval_loss ${metrics["eval_loss"].toFixed(3)} (best ${best.loss.toFixed(3)} at step ${best.step})`

const finite = (metrics: Readonly<Record<string, number>>): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(metrics).filter(([, value]) => Number.isFinite(value)))

export const trainRows = Effect.fnUntraced(function*({ earlier, o, progress, rows: { heldOut, trained }, rules, tracker, trackingId, trainer, work }: Loop) {
  const curve = [...earlier?.curve ?? []]
  const order = new TrainingOrder(trained, rules.mix, o.seed)
  const first = earlier?.step ?? 0
  const started = Date.now() - 1000 * (earlier?.seconds ?? 0)
  const deciding = { ...rules, steps: o.steps }
  let watched = earlier?.watched ?? unwatched
  let best = earlier?.best
  let made = first
  let loss = curve.at(-1)?.["loss"] ?? NaN
  let last = earlier?.tracked?.last ?? []
  for (const metrics of last) yield* tracker.step({ kind: "again", step: metrics["step"]!, time: Date.now(), metrics, completions: () => [] })
  const evaluate = Effect.fnUntraced(function*(stage: number) {
    const logps = yield* trainer.logps(heldOut.map(({ sequence }) => sequence), false)
    const evaluation = evaluationOf(heldOut, logps, rules.stages > 1 ? stage : undefined)
    if (Number.isFinite(evaluation.evaluated.loss)) return evaluation
    return yield* new BadInput({ message: `The loss on the held-out rows is ${evaluation.evaluated.loss} after ${made} steps: lower --learning-rate.` })
  })
  const stageNote = (stage: number) => `Stage ${stage + 1} of ${rules.stages} from step ${made + 1}: ${trained.filter((row) => row.stage <= stage).length} of ${trained.length} rows.`
  if (rules.stages > 1) yield* progress.note(stageNote(stageAfter(watched, made)))
  for (let step = 0; step < o.steps; step++) {
    const stage = stageAfter(watched, step)
    const batch = order.take(o.batchSize, stage).map((n) => trained[n]!.sequence)
    if (step < first) continue
    if (isOver(watched, deciding)) break
    const metrics = yield* trainer.update({ sequences: batch, examples: batch.map((_, n) => ({ members: [n], signal: 1, weight: 1 })) })
    loss = metrics["loss"]!
    made = step + 1
    const due = rules.evaluates && (made % rules.evalSteps === 0 || made === o.steps)
    const evaluation = due ? yield* evaluate(stage) : undefined
    watched = watch(watched, made, evaluation?.evaluated, deciding)
    if (rules.loadBest && watched.best?.step === made) best = (yield* trainer.state()).parameters
    const line = {
      step: made,
      ...rules.stages > 1 && { stage: stage + 1 },
      ...metrics,
      ...evaluation?.metrics,
      seconds: (Date.now() - started) / 1000
    }
    if (step % 10 === 9 || step === 0 || due) curve.push(line)
    yield* tracker.step({ kind: "step", step: made, time: Date.now(), metrics: finite(line), completions: () => [] })
    if (trackingId !== undefined) last = [...last, finite(line)].slice(-mostAgain)
    if (o.saveSteps > 0 && made % o.saveSteps === 0 && made < o.steps) {
      yield* writeState(o.out, work, { ...yield* trainer.state(), seconds: line.seconds, curve, watched, best, tracked: trackingId === undefined ? undefined : { id: trackingId, last } })
    }
    if (o.json) yield* Console.log(JSON.stringify(line))
    yield* progress.tick(made, `loss ${loss.toFixed(3)}${told(line, watched)}`)
    if (due && made < o.steps) yield* progress.note(`Step ${made}: loss ${loss.toFixed(3)}${told(line, watched)}.`)
    if (stageAfter(watched, made) > stage && made < o.steps) yield* progress.note(stageNote(stage + 1))
  }
  yield* progress.end
  return { parameters: best ?? (yield* trainer.state()).parameters, curve, loss, watched, made } satisfies Trained as Trained
})
