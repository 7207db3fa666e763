/**
 * How a server adds up a batch. Tinker's own sums over tokens and sequences; SkyRL's JAX engine divides each sequence by its
 * tokens, and the batch by its sequences. No server says which, and AdamW hides it from a first look: so it is measured, on a
 * scratch model that is thrown away.
 */
import { Effect } from "effect"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import { TinkerRefused } from "./client.ts"
import { type AdamParams, Held, type TinkerModels } from "./models.ts"
import { type Datum, datumOf } from "./wire.ts"

export type Reduction = "sum" | "mean"

/**
 * A batch for `forward_backward` whose gradient is that of a loss with these slopes. `importance_sampling` at the policy itself has
 * the ratio 1, so a token's advantage is minus its slope: exact for losses of either sign, which `cross_entropy` is not where
 * a server divides by the sum of the weights.
 *
 * @param slopes dLoss/dlogp of each token after the first, by sequence
 * @param logps of the same tokens under the model, nats
 */
export const sloped = (
  reduction: Reduction,
  sequences: ReadonlyArray<ReadonlyArray<number>>,
  slopes: ReadonlyArray<ReadonlyArray<number>>,
  logps: ReadonlyArray<ReadonlyArray<number>>
): ReadonlyArray<Datum> =>
  sequences.map((ids, n) => {
    const scale = reduction === "sum" ? 1 : (ids.length - 1) * sequences.length
    return datumOf(ids, { logprobs: logps[n]!, advantages: slopes[n]!.map((slope) => -slope * scale) })
  })

/** AdamW whose second moment drowns in epsilon: a parameter moves by 1e-6 times its gradient, too little to change the next one. */
const plainDescent: AdamParams = { learning_rate: 1, beta1: 0, beta2: 0, eps: 1e6, weight_decay: 0 }

const short = Array.from({ length: 9 }, (_, n) => n + 3)
const long = [...short, ...short.slice(1)]

const differenceOf = (a: Parameters, b: Parameters) => [...a].flatMap(([name, { data }]) => Array.from(data, (x, i) => x - b.get(name)!.data[i]!))
const product = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)

/**
 * The gradient of [short, long] over that of [short] alone; the tokens that only `long` has count nothing. Summed, it is 2; divided as
 * SkyRL's JAX engine does, (1 + 1/2) / 2.
 */
const ratios: Readonly<Record<Reduction, number>> = { sum: 2, mean: 0.75 }

/** @param read the parameters of a model as they are, by its id */
export const measureReduction = Effect.fn("Tinker.measureReduction")(function*(
  models: TinkerModels,
  read: (id: string, name: string) => Effect.Effect<Parameters, Effect.Error<ReturnType<TinkerModels["saveWeights"]>>>
) {
  const scratch = new Held(undefined, true)
  const ratio = yield* models.using(scratch, Effect.fnUntraced(function*(id) {
    const step = Effect.fnUntraced(function*(batch: ReadonlyArray<ReadonlyArray<number>>, name: string) {
      const logps = yield* models.forward(id, batch)
      const slopes = batch.map((ids) => ids.slice(1).map((_, t) => (t < short.length - 1 ? -1 : 0)))
      yield* models.forwardBackward(id, sloped("sum", batch, slopes, logps))
      yield* models.optimStep(id, plainDescent)
      return yield* read(id, name)
    })
    const start = yield* read(id, "measure-0")
    const one = yield* step([short], "measure-1")
    const two = yield* step([short, long], "measure-2")
    const [first, second] = [differenceOf(one, start), differenceOf(two, one)]
    return product(second, first) / product(first, first)
  }))
  yield* models.drop(scratch)
  const found = (Object.keys(ratios) as Array<Reduction>).find((name) => Math.abs(ratio / ratios[name] - 1) < 0.05)
  return found ?? (yield* new TinkerRefused({
    message: `The Tinker server adds up gradients neither as Tinker nor as SkyRL does (two sequences weigh ${ratio.toPrecision(3)} times one): losses would be another's here.`
  }))
})
