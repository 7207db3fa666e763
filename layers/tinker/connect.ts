/** A server that trains: its base, a fresh adapter of it, and how it adds up gradients. Optimizer and sampler share one. */
import { Effect, type Scope } from "effect"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import type { Parameters } from "../../src/engine/weights/tensor.ts"
import type { CheckpointInvalid, DecoderCheckpoint } from "../../src/model/model-folder.ts"
import { adapterIn, archiveBytes, parametersIn } from "./archive.ts"
import { makeTinkerClient, type TinkerError, type TinkerOptions, TinkerRefused } from "./client.ts"
import { Held, makeTinkerModels, type TinkerModels } from "./models.ts"
import { measureReduction, type Reduction } from "./reduction.ts"
import { Capabilities } from "./wire.ts"

export interface ConnectOptions extends TinkerOptions {
  /** The same base as the server's, in this machine's files. */
  readonly checkpoint: DecoderCheckpoint
  /** The server's name of it; undefined: the only one that it has. */
  readonly baseModel: string | undefined
  /** LoRA rank, >= 1. */
  readonly rank: number
  /** Of the fresh adapter. */
  readonly seed: number
}

export interface Tinker {
  /** The server's place, for people. */
  readonly where: string
  readonly models: TinkerModels
  /** Form of every adapter of it: the server chooses alpha and modules. */
  readonly lora: LoraConfig
  /** A fresh adapter, the same for the same seed: version 0. */
  readonly initial: Parameters
  /** The model of it, never trained: as its B factors are 0, it is the base, and so the reference. */
  readonly fresh: Held
  readonly reduction: Reduction
  /** A model's parameters as they are. @param name unique among what is saved of it */
  readonly read: (id: string, name: string) => Effect.Effect<Parameters, TinkerError>
}

const named = (known: ReadonlyArray<string>, wanted: string | undefined, Where: string) => {
  const some = known.slice(0, 5).join(", ")
  if (wanted !== undefined) {
    return known.includes(wanted) ? Effect.succeed(wanted) : Effect.fail(new TinkerRefused({ message: `${Where} has no base model "${wanted}": --tinker-base-model takes one of ${some}.` }))
  }
  return known.length === 1 ? Effect.succeed(known[0]!) : Effect.fail(new TinkerRefused({ message: `${Where} has ${known.length} base models: name one with --tinker-base-model (${some}).` }))
}

/** Its models live as long as the scope. */
export const connectTinker = Effect.fn("connectTinker")(function*(
  { baseModel, checkpoint, rank, seed, ...options }: ConnectOptions
): Effect.fn.Return<Tinker, TinkerError | CheckpointInvalid, Scope.Scope> {
  const client = makeTinkerClient(options)
  yield* client.ready
  const { supported_models } = yield* client.ask("get_server_capabilities", undefined, Capabilities)
  const base = yield* named(supported_models.map(({ model_name }) => model_name), baseModel, client.Where)
  const models = yield* makeTinkerModels({ client, baseModel: base, rank, seed: seed & 0x7fffffff })
  const most = archiveBytes(checkpoint, rank)
  const archiveOf = (id: string, name: string) =>
    Effect.andThen(models.saveForSampler(id, name), client.download(`training_runs/${id}/checkpoints/${name}/archive`, most))
  const fresh = new Held(undefined, false)
  const { lora, parameters: initial } = yield* Effect.flatMap(models.using(fresh, (id) => archiveOf(id, "fresh")), (archive) => adapterIn(archive, checkpoint, most))
  const moved = [...initial].find(([name, { data }]) => name.includes(".lora_B.") && data.some((x) => x !== 0))
  if (moved !== undefined) return yield* new TinkerRefused({ message: `${client.Where} makes adapters that change their base from the start, so it gives no reference to compare with.` })
  const read: Tinker["read"] = (id, name) => Effect.flatMap(archiveOf(id, name), (archive) => parametersIn(archive, initial, most))
  return { where: client.where, models, lora, initial, fresh, reduction: yield* measureReduction(models, read), read }
})
