/** Optimizer: any objective of the table, its backward graph and AdamW with onnxruntime (layers/onnx/trainer-program.ts). */
import { Effect, Layer, Ref } from "effect"
import type { DecoderCheckpoint } from "../../src/model/model-folder.ts"
import type { Lesson } from "../../src/domain.ts"
import { type ChosenObjective, objectiveOf } from "../../src/objectives/objectives.ts"
import { trainerBytes, type TrainerExtras } from "../../src/engine/training/memory.ts"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import { copyParameters, type Parameters } from "../../src/engine/weights/tensor.ts"
import { LossNotFinite, Optimizer, OptimizerFailed, type OptimizerState } from "../../src/stages/Optimizer.ts"
import type { TrainerOptions } from "../onnx/trainer-program.ts"
import { OnnxError, OnnxRuntime, startProgram } from "../onnx/runtime.ts"
import { batchOf, weighed } from "./lessons.ts"

export interface OptimizerOnnxOptions {
  readonly checkpoint: DecoderCheckpoint
  /** Undefined: full fine-tuning; the reference is then the checkpoint as loaded. */
  readonly lora: LoraConfig | undefined
  /** Trainable parameters, version and moments to start from: a fresh adapter, or a resumed run's. */
  readonly initial: OptimizerState
  /**
   * The adapter that training started from; undefined: the reference has none. Where the reference moves
   * (`options.syncReference`), all that it begins with, of the same names as what is trained: needed then, as a resumed run's own
   * parameters are others.
   */
  readonly reference?: Parameters | undefined
  readonly objective: ChosenObjective
  readonly options: TrainerOptions
}

/** The state after the last step that was waited for; with `moments` if the trainer handed them over. */
type Current = Omit<OptimizerState, "moments"> & {
  readonly moments: Parameters | undefined
  /** Those that were waited for, since the trainer was made or restored. */
  readonly steps: number
}

/** Absent where the reference stays. */
const moved = (reference: Parameters | undefined): Pick<OptimizerState, "reference"> => (reference === undefined ? {} : { reference })

/** What a trainer with this objective needs memory for beside the usual. */
export const extrasOf = (chosen: ChosenObjective, { syncReference }: Pick<TrainerOptions, "syncReference">): TrainerExtras => {
  const { concentrations, prepare } = objectiveOf(chosen)
  return { movingReference: syncReference !== undefined, concentrations: concentrations?.(chosen) === true, foresees: prepare !== undefined }
}

/** Fails with `NotEnoughMemory` before anything is allocated; the thread and its sessions end with the scope. */
export const layer = ({ checkpoint, initial, lora, objective, options, reference }: OptimizerOnnxOptions) =>
  Layer.effect(
    Optimizer,
    Effect.gen(function*() {
      const runtime = yield* OnnxRuntime
      yield* runtime.reserve(
        "trainer",
        trainerBytes(checkpoint.config, lora, options.tokensPerRun, options.maxLength, options.gradientCheckpointing, extrasOf(objective, options))
      )
      const program = yield* startProgram("trainer", {
        checkpoint,
        lora,
        parameters: initial.parameters,
        reference,
        movedReference: initial.reference,
        state: { step: initial.updates, moments: new Map(copyParameters(initial.moments)) },
        rate: initial.rate,
        objective,
        options,
        device: runtime.device,
        spinning: runtime.spinning,
        threads: runtime.threads
      })
      const current = yield* Ref.make<Current>({ ...initial, moments: undefined, steps: 0 })
      const failed = <A, E>(effect: Effect.Effect<A, E | OnnxError>) =>
        Effect.mapError(effect, (error) =>
          error instanceof OnnxError ? new OptimizerFailed({ message: error.message }) : error as Exclude<E, OnnxError>)
      const step = Effect.fn("Optimizer.step")(function*(lessons: ReadonlyArray<Lesson>) {
        const taught = yield* weighed(lessons, objective)
        const { moments: kept, parameters, updates, version } = yield* Ref.get(current)
        if (taught.length === 0) {
          const snapshot = { version: version + 1, parameters }
          yield* Ref.update(current, (known) => ({ ...known, ...snapshot }))
          return { snapshot, metrics: {} }
        }
        const stepping = program.step(batchOf(taught, objectiveOf(objective)))
        // A long step may be given up, even if its caller is uninterruptible: the state before it is known, and can be
        // saved.
        const stepped = yield* kept === undefined ? stepping : Effect.interruptible(stepping)
        if ("notFinite" in stepped) return yield* new LossNotFinite({ message: `${stepped.notFinite}: lower the learning rate` })
        const { metrics, moments, parameters: next, reference, updates: made } = stepped
        const snapshot = { version: version + 1, parameters: next }
        yield* Ref.update(current, (known) => ({ ...known, ...snapshot, updates: updates + made, moments, reference, steps: known.steps + 1 }))
        return { snapshot, metrics }
      }, failed)
      const state = Effect.gen(function*() {
        const { steps: waitedFor, ...known } = yield* Ref.get(current)
        if (known.moments !== undefined) return { ...known, moments: known.moments } satisfies OptimizerState
        const { moments, parameters, reference, step, steps } = yield* program.state()
        // Steps whose caller was interrupted may still have finished.
        return { ...known, version: known.version + steps - waitedFor, updates: step, parameters, moments, ...moved(reference) } satisfies OptimizerState
      }).pipe(failed)
      const restore = Effect.fn("Optimizer.restore")(function*({ moments, parameters, rate = 1, reference, updates, version }: OptimizerState) {
        yield* program.restore({ parameters, moments, reference, step: updates, rate })
        // If steps are long, the state must stay at hand.
        yield* Ref.update(current, (known) => ({ version, updates, parameters, moments: known.moments && moments, reference, rate, steps: 0 }))
      }, failed)
      return Optimizer.of({ name: "onnx", step, state, restore })
    })
  )
