/**
 * Optimizer: any objective of the table, its forward and backward pass and AdamW on a Tinker server (layers/tinker). The server gives
 * log-probabilities; the objective's own graph gives the loss and each token's slope here; the server takes the slopes back.
 *
 * Every step is saved on the server before it counts, so a server that is lost and started again goes on from the last step.
 * The moments stay there: a state is its parameters here and a checkpoint there (layers/tinker/saved.ts). The protocol
 * clips no gradients and sends no concentrations: see `refusedByTinker`.
 */
import { Effect, Layer, Ref } from "effect"
import type { Lesson } from "../../src/domain.ts"
import { schedule } from "../../src/engine/training/adamw.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { totalsOf } from "../../src/objectives/objective.ts"
import { type ChosenObjective, lossTypeText, objectiveOf } from "../../src/objectives/objectives.ts"
import { LossNotFinite, Optimizer, OptimizerFailed, type OptimizerState } from "../../src/stages/Optimizer.ts"
import type { PerToken } from "../onnx/objective-graph.ts"
import { startProgram } from "../onnx/runtime.ts"
import { completionLength, type Sequence, truncated } from "../onnx/sequences.ts"
import { type Batch, inParts } from "../onnx/trainer-batches.ts"
import { meansOf, type TrainerOptions } from "../onnx/trainer-program.ts"
import type { Tinker } from "../tinker/connect.ts"
import { Held } from "../tinker/models.ts"
import { sloped } from "../tinker/reduction.ts"
import { digestOf, type SavedWeights } from "../tinker/saved.ts"
import { batchOf, weighed } from "./lessons.ts"

export interface OptimizerTinkerOptions {
  readonly tinker: Tinker
  readonly saved: SavedWeights
  /** `tinker.initial` at version 0, or a state of a run that this server trained. */
  readonly initial: OptimizerState
  readonly objective: ChosenObjective
  readonly options: Omit<TrainerOptions, "gradientCheckpointing" | "tokensPerRun">
  /** Begins the names of its checkpoints on the server: letters, digits, _ and -. Default `vequinox`. */
  readonly name?: string
}

/** Why a Tinker server cannot minimise this, a sentence, or undefined if it can. */
export const refusedByTinker = (
  objective: ChosenObjective,
  { maxGradNorm, syncReference }: Pick<TrainerOptions, "maxGradNorm" | "syncReference">
): string | undefined =>
  maxGradNorm > 0
    ? `A Tinker server clips no gradients, and max_grad_norm is ${maxGradNorm}: give 0.`
    : syncReference !== undefined
    ? "The reference of a Tinker server is its base, which does not move: leave sync_ref_model out."
    : objectiveOf(objective).concentrations?.(objective) === true
    ? `A Tinker server does not tell how sure the policy is of each token, which ${lossTypeText(objective.lossType)} reads with use_weighting: leave that out.`
    : undefined

interface Scored {
  /** Of every token after the first. */
  readonly all: PerToken
  /** Of the completions' tokens. */
  readonly completions: PerToken
}

const finite = (parameters: Parameters): boolean => [...parameters.values()].every(({ data }) => data.every(Number.isFinite))

/** Fails with `OptimizerFailed` where the server cannot go on from `initial`. Its model is unloaded when `tinker`'s scope ends. */
export const layer = ({ initial, name = "vequinox", objective: chosen, options, saved, tinker }: OptimizerTinkerOptions) =>
  Layer.effect(
    Optimizer,
    Effect.gen(function*() {
      const { models, reduction } = tinker
      const objective = objectiveOf(chosen)
      const refused = refusedByTinker(chosen, options)
      if (refused !== undefined) return yield* new OptimizerFailed({ message: refused })
      const program = yield* startProgram("objective", chosen)
      const fresh = digestOf(tinker.initial)

      const heldOf = Effect.fnUntraced(function*({ parameters, updates, version }: OptimizerState) {
        if (updates === 0 && digestOf(parameters) === fresh) return new Held(undefined, true)
        const path = saved.find(parameters, updates)
        return path === undefined
          ? yield* new OptimizerFailed({ message: `No checkpoint of ${tinker.where} is known that holds version ${version}, and weights cannot be sent there: continue from another, or begin a new run.` })
          : new Held(path, true)
      })
      let policy = yield* heldOf(initial)
      const current = yield* Ref.make(initial)

      const scored = Effect.fnUntraced(function*(id: string, sequences: ReadonlyArray<Sequence>) {
        const all = yield* models.forward(id, sequences.map(({ ids }) => ids))
        return { all, completions: all.map((logps, n) => logps.slice(logps.length - completionLength(sequences[n]!))) } satisfies Scored
      })

      /** One update of the model: gradients of the objective's loss over a part of the batch, then AdamW. */
      const iterate = Effect.fnUntraced(function*(id: string, batch: Batch, updates: number, rate: number, reference: Scored | undefined, old: PerToken | undefined) {
        const sequences = batch.sequences.map((s) => truncated(s, options.maxLength))
        const lengths = sequences.map(completionLength)
        const policy = yield* scored(id, sequences)
        const referenceTokens = reference?.completions ?? lengths.map(() => [])
        const examples = objective.prepare === undefined
          ? batch.examples
          : objective.prepare(chosen, { examples: batch.examples, lengths, tokens: policy.completions, referenceTokens })
        const { loss, slope } = yield* program.slope({ examples, lengths, old, batch: totalsOf(batch.examples, lengths), tokens: policy.completions, referenceTokens })
        if (![loss, ...slope.flat(), ...policy.all.flat()].every(Number.isFinite)) {
          return yield* new LossNotFinite({ message: `the loss is ${loss}, or a token's slope is no finite number: lower the learning rate` })
        }
        const ids = sequences.map((sequence) => sequence.ids)
        const slopes = slope.map((of, n) => [...Array.from({ length: ids[n]!.length - 1 - of.length }, () => 0), ...of])
        yield* models.forwardBackward(id, sloped(reduction, ids, slopes, policy.all))
        const learning_rate = options.learningRate * rate * schedule(options.schedulerType, updates, options.warmupSteps, options.totalSteps)
        yield* models.optimStep(id, {
          learning_rate,
          beta1: options.adamBeta1,
          beta2: options.adamBeta2,
          eps: options.adamEpsilon,
          weight_decay: options.weightDecay
        })
        const sums = (rows: PerToken) => Float64Array.from(rows, (row) => row.reduce((sum, x) => sum + x, 0))
        return {
          tokens: policy.completions,
          metrics: {
            loss,
            ...objective.metrics(chosen, {
              examples: batch.examples,
              policy: sums(policy.completions),
              reference: sums(referenceTokens),
              lengths,
              tokens: policy.completions,
              old: old ?? policy.completions,
              referenceTokens: reference?.completions
            }),
            num_tokens: ids.reduce((n, { length }) => n + length, 0),
            learning_rate
          }
        }
      })

      /** The reference's log-probabilities for each part of a batch. */
      const referencesOf = (divided: ReadonlyArray<Batch>) =>
        Effect.forEach(divided, ({ sequences }) =>
          objective.reference(chosen)
            ? models.using(tinker.fresh, (id) => scored(id, sequences.map((s) => truncated(s, options.maxLength))))
            : Effect.succeed(undefined))

      /** All updates with one batch, and the server's checkpoint after them. */
      const update = Effect.fnUntraced(function*(id: string, divided: ReadonlyArray<Batch>, references: ReadonlyArray<Scored | undefined>, { rate = 1, updates, version }: OptimizerState) {
        const all: Array<Record<string, number>> = []
        const old = new Map<Batch, PerToken>()
        for (let iteration = 0; iteration < (options.iterations ?? 1); iteration++) {
          for (const [n, part] of divided.entries()) {
            const { metrics, tokens } = yield* iterate(id, part, updates + all.length, rate, references[n], old.get(part))
            if (iteration === 0) old.set(part, tokens)
            all.push(metrics)
          }
        }
        const path = yield* models.saveWeights(id, `${name}-step-${version + 1}`)
        const parameters = yield* tinker.read(id, `${name}-version-${version + 1}`)
        return finite(parameters)
          ? { path, parameters, made: all.length, metrics: all.length === 1 ? all[0]! : meansOf(all) }
          : yield* new LossNotFinite({ message: "the gradient is not finite: lower the learning rate" })
      })

      const failed = <A, E extends { readonly message: string }>(effect: Effect.Effect<A, E>) =>
        Effect.mapError(effect, (error) => error instanceof LossNotFinite ? error : new OptimizerFailed({ message: error.message }))

      const step = Effect.fn("Optimizer.step")(function*(lessons: ReadonlyArray<Lesson>) {
        const taught = yield* weighed(lessons, chosen)
        const state = yield* Ref.get(current)
        const version = state.version + 1
        if (taught.length === 0) {
          yield* Ref.set(current, { ...state, version })
          return { snapshot: { version, parameters: state.parameters }, metrics: {} }
        }
        const divided = inParts(batchOf(taught, objective), options.stepsPerGeneration ?? 1)
        // It may be given up, even if its caller is uninterruptible: the state before it is saved.
        const { made, metrics, parameters, path } = yield* Effect.interruptible(Effect.flatMap(referencesOf(divided), (references) =>
          models.using(policy, (id) => update(id, divided, references, state)))).pipe(Effect.tapErrorTag("LossNotFinite", () => models.drop(policy)))
        const updates = state.updates + made
        yield* saved.note(parameters, updates, path)
        policy.path = path
        yield* Ref.set(current, { ...state, version, updates, parameters })
        return { snapshot: { version, parameters }, metrics }
      }, failed)

      const restore = Effect.fn("Optimizer.restore")(function*({ parameters, rate = 1, updates, version }: OptimizerState) {
        const state = { version, updates, parameters, rate, moments: new Map() }
        const next = yield* heldOf(state)
        yield* models.drop(policy)
        policy = next
        yield* Ref.set(current, state)
      })
      return Optimizer.of({
        name: "tinker",
        step,
        restore,
        state: Effect.map(Ref.get(current), (state) => ({ ...state, moments: new Map() }))
      })
    })
  )
