/**
 * Where a run is kept besides its folder: `storage_path`, which is Ray Train's name for it; and `--resume` of such an
 * address. The SDK is loaded where one of the two asks for it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Layer } from "effect"
import { addressOf, isAddress, parseAddress } from "../../layers/storage/address.ts"
import type { BackgroundOptions } from "../../layers/storage/background.ts"
import { holdsRun } from "../run/folder.ts"
import type { StorageFailed } from "../stages/ObjectStore.ts"
import { BadInput } from "../system/errors.ts"
import type { ProgressStyle } from "../system/progress.ts"
import type { SettingName, TrainConfig } from "./settings.ts"

/** @param flag that named the address */
const s3 = Effect.fnUntraced(function*(address: string, flag: string) {
  const parsed = yield* parseAddress(address, flag)
  const { layer } = yield* Effect.promise(() => import("../../layers/storage/s3.ts"))
  return layer(parsed)
})

/**
 * Fails before anything is made if the store cannot be used, or its prefix is not this run's. What it returns copies one run
 * in the background.
 *
 * @param id of a run that began before
 */
export const openStorage = Effect.fnUntraced(function*({ storage_path: address }: Pick<TrainConfig, "storage_path">, id: unknown) {
  if (address === "") return () => Layer.empty
  const store = Layer.succeedContext(yield* Layer.build(yield* s3(address, "--storage-path")))
  const [{ needOwnPrefix }, background] = yield* Effect.promise(() =>
    Promise.all([import("../../layers/storage/copy-run.ts"), import("../../layers/storage/background.ts")]))
  yield* needOwnPrefix(typeof id === "string" ? id : undefined).pipe(Effect.provide(store))
  return (options: BackgroundOptions): Layer.Layer<never, StorageFailed> => background.layer(options).pipe(Layer.provide(store))
})

interface Resumed {
  readonly given: Readonly<Partial<Record<SettingName, unknown>>>
  readonly resume?: string | undefined
  readonly style: ProgressStyle
}

/**
 * A run that is resumed from an address is downloaded first, into `output_dir` or `runs/` and the address's last part, and
 * is kept at that address from then on too.
 */
export const broughtHere = Effect.fnUntraced(function*<R extends Resumed>(request: R) {
  const { given, resume, style } = request
  if (resume === undefined || !isAddress(resume)) return request
  const { bucket, prefix } = yield* parseAddress(resume, "--resume")
  const out = path.resolve(String(given["output_dir"] ?? path.join("runs", path.posix.basename(prefix) || bucket)))
  if (fs.existsSync(out) && holdsRun(out)) {
    return yield* new BadInput({ message: `${out} holds a run already: continue it with --resume ${out}, or choose another folder for the downloaded one with --out.` })
  }
  const { downloadRun } = yield* Effect.promise(() => import("../../layers/storage/download-run.ts"))
  yield* downloadRun(out, style).pipe(Effect.provide(yield* s3(resume, "--resume")))
  return { ...request, resume: out, given: { storage_path: addressOf({ bucket, prefix }), ...given } }
})
