/** What a job left, checked before it becomes a policy: all of it is a stranger's. */
import { createHash } from "node:crypto"
import * as path from "node:path"
import { Effect, Schema } from "effect"
import { sizeOf, type Parameters } from "../../src/engine/weights/tensor.ts"
import type { LoraConfig } from "../../src/engine/weights/parameters.ts"
import { openAdapter } from "../../src/model/adapter.ts"
import { type DecoderCheckpoint, readJson } from "../../src/model/model-folder.ts"
import { type FileProblem, writeFile } from "../../src/system/files.ts"
import { type JobError, JobFailed, type JobFiles } from "./cluster.ts"
import { checkpointOf, type Trl, trainedOf } from "./trl.ts"

export interface JobResult {
  /** In the order of what was started from. */
  readonly parameters: Parameters
  /** TRL's numbers under TRL's names. */
  readonly metrics: Record<string, number>
  /** Why this is no policy, where a loss or a weight is no finite number. */
  readonly notFinite: string | undefined
  /** SHA-256 of adapter_model.safetensors, hex. */
  readonly sha256: string
}

const BaseJson = Schema.Struct({ base_model_name_or_path: Schema.NullOr(Schema.String) })

/** Bytes of float32 factors and a header. */
const mostBytes = (parameters: Parameters): number => [...parameters.values()].reduce((n, { shape }) => n + 4 * sizeOf(shape), 0) + 16_000_000

/**
 * The adapter and the numbers of a job; undefined while they are not there. trainer_state.json is written after the adapter, so
 * where it says that the round's last update is made, the adapter is whole.
 *
 * Fails with `JobFailed` if they are not of this base, rank, alpha, modules and shapes.
 *
 * @param start what the job started from, whose form its adapter must have
 */
export const resultOf = Effect.fn("job.resultOf")(function*(
  id: string,
  files: JobFiles,
  trl: Pick<Trl, "lora" | "steps">,
  base: DecoderCheckpoint,
  start: Parameters
): Effect.fn.Return<JobResult | undefined, JobError | JobFailed | FileProblem> {
  const { lora, steps } = trl
  const checkpoint = checkpointOf(trl)
  const unusable = (what: string) => new JobFailed({ job: id, message: `The result of job ${id} is not used: ${what.replace(/\.$/, "")}. To have the round trained again, remove ${files.where(id)}.`, log: [] })
  const state = yield* files.get(id, checkpoint, "trainer_state.json", 64e6)
  if (state === undefined) return undefined
  const trained = trainedOf(new TextDecoder().decode(state))
  if (trained === undefined) return undefined // half written: what is broken for good shows once the job has ended
  if (trained.steps !== steps) return yield* unusable(`it made ${trained.steps} updates of ${steps}.`)
  const folder = path.join(files.folder(id), "taken")
  let sha256 = ""
  for (const [name, most] of [["adapter_config.json", 1e6], ["adapter_model.safetensors", mostBytes(start)]] as const) {
    const bytes = yield* files.get(id, checkpoint, name, most)
    if (bytes === undefined) return yield* unusable(`it has no ${name}.`)
    if (name === "adapter_model.safetensors") sha256 = createHash("sha256").update(bytes).digest("hex")
    yield* writeFile(path.join(folder, name), bytes, false)
  }
  const { adapter, named } = yield* Effect.all({
    named: readJson(folder, "adapter_config.json", BaseJson),
    adapter: openAdapter(folder, base)
  }).pipe(Effect.mapError(({ message }) => unusable(message)))
  const model = files.paths(id).model
  if (named.base_model_name_or_path !== model) return yield* unusable(`its adapter was made for ${named.base_model_name_or_path ?? "no base"}, not for ${model}.`)
  const differs = differenceOf(adapter, lora, start)
  if (differs !== undefined) return yield* unusable(differs)
  yield* writeFile(path.join(folder, "taken.json"), JSON.stringify({ job: id, sha256, metrics: trained.metrics }, null, 2) + "\n", false)
  const parameters = new Map([...start.keys()].map((name) => [name, adapter.parameters.get(name)!]))
  const odd = [...parameters].find(([, { data }]) => !data.every(Number.isFinite))?.[0]
  return {
    parameters,
    metrics: trained.metrics,
    notFinite: trained.notFinite ? `A loss of job ${id} is no finite number` : odd === undefined ? undefined : `${odd} of job ${id} holds what is no finite number`,
    sha256
  } satisfies JobResult as JobResult
})

/** What of an adapter is not as it was when the job began, in words; undefined if all is. */
const differenceOf = (
  { lora: its, parameters }: { readonly lora: LoraConfig; readonly parameters: Parameters },
  lora: LoraConfig,
  start: Parameters
): string | undefined => {
  if (its.r !== lora.r || its.alpha !== lora.alpha || (its.rankStabilized ?? false) !== (lora.rankStabilized ?? false)) {
    return `its adapter has r ${its.r} and alpha ${its.alpha}, and the policy's has r ${lora.r} and alpha ${lora.alpha}.`
  }
  for (const [name, { shape }] of start) {
    const found = parameters.get(name)
    if (found?.shape.join() !== shape.join()) return `its adapter's ${name} is ${found === undefined ? "missing" : `[${found.shape}]`}, and the policy's [${shape}].`
  }
  const more = [...parameters.keys()].find((name) => !start.has(name))
  return more === undefined ? undefined : `its adapter has ${more}, which the policy's does not have.`
}
