/** `vequinox merge`: folds a LoRA adapter into its base and writes a checkpoint folder that needs no adapter. */
import { Console, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { openDecoder } from "../model/model-folder.ts"
import { policyKind } from "../model/hub/model-kind.ts"
import { resolveModel } from "../model/hub/resolve-model.ts"
import { openFactors } from "../model/lora-factors.ts"
import { writeMerged } from "../model/merge.ts"
import { needFreeFolder } from "../system/outputs.ts"
import { parseBytes } from "../system/bytes.ts"
import { progressStyle } from "../system/progress.ts"
import * as Flags from "../wiring/flags.ts"

const dtypes = { f32: "F32", bf16: "BF16", f16: "F16", same: undefined } as const

export const merge = Command.make("merge", {
  model: Flags.model,
  revision: Flags.revision,
  adapter: Flag.String("adapter").pipe(Flag.withDescription("PEFT LoRA adapter folder")),
  out: Flags.out.pipe(Flag.withDescription("folder for the merged checkpoint; new or empty")),
  dtype: Flag.Literals("dtype", ["f32", "bf16", "f16", "same"]).pipe(
    Flag.withDescription("precision of the written weights; same keeps the base's"),
    Flag.withDefault("same")
  ),
  maxShardSize: Flag.String("max-shard-size").pipe(
    Flag.withDescription("most weights in one file, such as 5GB or 500MiB; more are split over several files with an index"),
    Flag.withSchema(Schema.String.check(Schema.makeFilter((text: string) => Option.isSome(parseBytes(text)) || "a size is a number with KB, MB, GB, KiB, MiB or GiB"))),
    Flag.withDefault("5GB")
  ),
  json: Flags.json
}, Effect.fn(function*(o) {
  const { folder } = yield* resolveModel(o.model, policyKind, { revision: o.revision, style: progressStyle(o.json) })
  yield* needFreeFolder(o.out, "--out", { "--model": folder, "--adapter": o.adapter })
  const base = yield* openDecoder(folder)
  const adapter = yield* openFactors(o.adapter, base)
  const { bytes, files } = yield* writeMerged(base, adapter, {
    out: o.out,
    dtype: dtypes[o.dtype],
    maxShardBytes: Option.getOrThrow(parseBytes(o.maxShardSize))
  })
  yield* Console.log(
    o.json
      ? JSON.stringify({ out: o.out, modules: adapter.modules.length, files, bytes })
      : `Wrote ${o.out}: ${adapter.modules.length} modules merged, ${(bytes / 1e6).toFixed(1)} MB of weights in ${files} file${files === 1 ? "" : "s"}.`
  )
})).pipe(Command.withDescription("Fold a LoRA adapter into its base, as a full checkpoint"))
