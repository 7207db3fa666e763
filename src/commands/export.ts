/** `vequinox export`: writes a policy, its adapter folded in, in the formats that other programs load. */
import * as path from "node:path"
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { ggufPrecisions, writeGguf } from "../export/gguf.ts"
import { type OnnxPrecision, onnxPrecisions, writeOnnx } from "../export/onnx.ts"
import { policyKind } from "../model/hub/model-kind.ts"
import { resolveModel } from "../model/hub/resolve-model.ts"
import { openFactors } from "../model/lora-factors.ts"
import { openDecoder } from "../model/model-folder.ts"
import { BadInput } from "../system/errors.ts"
import { needFreeFolder, needNewFiles } from "../system/outputs.ts"
import { byteSize, bytes as inBytes, makeProgress, progressStyle } from "../system/progress.ts"
import * as Flags from "../wiring/flags.ts"

export const exportTo = Command.make("export", {
  to: Flag.Literals("to", ["gguf", "onnx"]).pipe(
    Flag.withDescription("gguf: one file for llama.cpp, Ollama and LM Studio; onnx: a folder for transformers.js")
  ),
  model: Flags.model,
  revision: Flags.revision,
  adapter: Flags.adapter.pipe(Flag.withDescription("PEFT LoRA adapter folder to fold in")),
  out: Flags.out.pipe(Flag.withDescription("gguf: a new file, NAME.gguf; onnx: a folder, new or empty")),
  precision: Flag.Literals("precision", ggufPrecisions).pipe(
    Flag.withDescription("of the matrices (default: gguf q8_0; onnx f32 and q8_0, as two models of one folder)"),
    Flag.optional
  ),
  json: Flags.json
}, Effect.fn(function*(o) {
  const style = progressStyle(o.json)
  const { base: named, folder } = yield* resolveModel(o.model, policyKind, { revision: o.revision, style })
  const precision = Option.getOrUndefined(o.precision)
  const inputs = { "--model": folder, ...(Option.isSome(o.adapter) ? { "--adapter": o.adapter.value } : {}) }
  if (o.to === "onnx" && precision !== undefined && !isOnnxPrecision(precision)) {
    return yield* new BadInput({ message: `--to onnx writes ${onnxPrecisions.join(" and ")}, not ${precision}: leave --precision out for both.` })
  }
  if (o.to === "gguf" && !o.out.endsWith(".gguf")) {
    return yield* new BadInput({ message: `--out ${o.out} should end in .gguf: other programs know the file by that.` })
  }
  yield* o.to === "gguf" ? needNewFiles([o.out], "--out") : needFreeFolder(o.out, "--out", inputs)
  const base = yield* openDecoder(folder)
  const adapter = yield* Effect.transposeOption(Option.map(o.adapter, (at) => openFactors(at, base)))
  const modules = Option.match(adapter, { onNone: () => 0, onSome: ({ modules }) => modules.length })
  const progress = Effect.fnUntraced(function*(total: number) {
    const shown = yield* makeProgress(style, inBytes, total)
    return (done: number) => Effect.andThen(shown.tick(done, "written"), done < total ? Effect.void : shown.end)
  })
  const folded = modules === 0 ? "" : `${modules} modules merged, `
  if (o.to === "gguf") {
    const { bytes, differing: [some, texts], pre } = yield* writeGguf(base, Option.getOrUndefined(adapter), {
      out: o.out,
      precision: precision ?? "q8_0",
      name: path.basename(o.out, ".gguf"),
      progress
    })
    const note = some === 0 ? "" : ` llama.cpp has no name for the way this tokenizer splits text, so it merges without splitting: prompts come to the same tokens, but ${some} of ${texts} other texts did not.`
    return yield* Console.log(
      o.json
        ? JSON.stringify({ out: o.out, base: named.name, modules, bytes, tokenizer: { pre, differing: some, of: texts } })
        : `Wrote ${o.out}: ${folded}${byteSize(bytes)} in ${precision ?? "q8_0"}.${note}`
    )
  }
  const files = yield* writeOnnx(base, Option.getOrUndefined(adapter), {
    out: o.out,
    precisions: precision === undefined ? onnxPrecisions : [precision as OnnxPrecision],
    progress
  })
  yield* Console.log(
    o.json
      ? JSON.stringify({ out: o.out, base: named.name, modules, files })
      : `Wrote ${o.out}: ${folded}${files.map(({ bytes, file }) => `${file} with ${byteSize(bytes)} of weights`).join(", ")}.`
  )
})).pipe(Command.withDescription("Write a policy for llama.cpp (GGUF) or transformers.js (ONNX)"))

const isOnnxPrecision = (name: string): name is OnnxPrecision => (onnxPrecisions as ReadonlyArray<string>).includes(name)
